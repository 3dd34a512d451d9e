"""timm backbones: pretrained weights, heads, frozen parts, and how to run them fast.

Trains nothing: `trainables.training` does.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
