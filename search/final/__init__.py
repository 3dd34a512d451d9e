"""Makes the final model from the best trials: selects, retrains, tests once and exports.

It runs no search: its trials are those that the search recorded.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
