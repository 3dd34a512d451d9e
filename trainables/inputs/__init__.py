"""Batches of augmented images, as the features that a model's frozen prefix computes from them.

A machine computes features once, and its trials share them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
