"""The search: Ray Tune, the study, early stopping, machines and budgets.

It proposes no points itself (`search.samplers`), runs no round (`search.trial`), and makes no final
model (`search.final`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
