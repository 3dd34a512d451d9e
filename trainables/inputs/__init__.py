"""Inputs of the trainable part: batches of augmented images, as features of the frozen prefix.

Features are computed once per machine and shared by trials. Nothing here trains.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
