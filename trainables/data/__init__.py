"""Datasets: a source's images scanned, split by units, and their pixels kept for all trials.

Sources are listed by `trainables.folders` and `trainables.tables`. Knows nothing of models or
training; augmentation belongs to `trainables.inputs`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
