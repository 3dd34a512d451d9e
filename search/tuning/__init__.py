"""The search itself: Ray Tune, the study, early stopping, machines and budgets."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
