"""What is settled before a trial runs: space, points, weights, images, cost."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
