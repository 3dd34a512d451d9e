"""Reports the results of a sweep to people: ``report.html``, and figures in TensorBoard.

This room reads the files of the sweep and trains nothing.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
