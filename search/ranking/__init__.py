"""Ranks trials: tables, repeats of the best, and comparisons between sweeps.

It reads records and runs nothing.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
