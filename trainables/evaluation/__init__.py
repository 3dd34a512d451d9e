"""Metrics, intervals and calibration of predicted probabilities. Imports NumPy, no torch.

Takes arrays and class numbers; runs no model and opens no image.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
