"""One trial as Ray runs it: all that a worker imports.

It does not know which search asked for the trial, or how the results are used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
