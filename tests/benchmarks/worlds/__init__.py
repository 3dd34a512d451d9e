"""Worlds on which searches are simulated: recorded curves of any origin, behind one interface."""
