"""Which trials are best: tables, repeats with other seeds, and comparisons between sweeps."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
