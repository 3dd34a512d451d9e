"""What a sweep found, for people: ``report.html``, and pictures in TensorBoard."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
