"""The record of a sweep: the files that it writes, and the code that reads them back.

This room makes no decisions about trials, and trains nothing.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
