"""Makes the final model: selects its members, retrains them, tests it once and exports it.

It runs no search; the trials are those of the journal.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
