"""A finished model in use: an export and its predictions, ensembles, Grad-CAM."""
