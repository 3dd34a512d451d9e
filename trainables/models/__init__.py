"""timm backbones: weights, heads, what of them is frozen, and how fast they compute."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
