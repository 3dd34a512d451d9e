"""What proposes points: a name to an Optuna sampler, and our own."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
