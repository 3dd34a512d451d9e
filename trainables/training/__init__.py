"""Fine-tuning of one model: epochs, loss, learning rate, early stopping, cross-validation.

Needs neither Ray nor a sweep. Importing `RoundReport` or `METRICS` does not import torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
