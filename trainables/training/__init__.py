"""Fine-tuning of one model: epochs, loss, learning rate, early stopping, cross-validation.

Knows nothing of Ray or of a sweep. `EpochReport` and `METRICS` are imported without torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
