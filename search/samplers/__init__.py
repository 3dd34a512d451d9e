"""Samplers: propose the parameters of the next trial, by Optuna's algorithms or by our own.

They read the trials of an Optuna study. They begin and stop no trials: `search.tuning` does.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
