"""Inference with trained models: exported predictors, ensembles, calibration, Grad-CAM.

Does not train: models come from a retraining or an export.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
