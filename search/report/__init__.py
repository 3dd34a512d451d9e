"""Reports what a sweep found, for people: ``report.html``, and figures in TensorBoard.

It reads what the sweep has left on disk and trains nothing.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
