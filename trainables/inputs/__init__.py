"""Batches of augmented images, in the form of features: outputs of a model's frozen prefix.

A machine computes each feature once; all trials on the machine share it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
