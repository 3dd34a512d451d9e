"""The record of a sweep: every file it writes, and how each is read back.

Values, paths, locks and copies; no decisions about trials, and no training.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
