"""What a trainable part is fed: augmented views of images, as pixels or kept features."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
