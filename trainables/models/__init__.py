"""timm backbones: pretrained weights, new heads, frozen layers, and fast execution.

Training is in `trainables.training`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
