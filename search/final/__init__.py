"""The model that is handed over: chosen, retrained, tested once and exported."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
