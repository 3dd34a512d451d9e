"""Ray's machines: connecting, examining, moving files, submitting jobs. Knows no trials."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
