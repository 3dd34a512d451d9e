"""One trial as Ray runs it: all that a worker imports.

Knows neither the search that asked for the trial nor what becomes of its results.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
