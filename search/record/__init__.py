"""What a sweep leaves on disk, and how it is read back. Decides nothing and trains nothing."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
