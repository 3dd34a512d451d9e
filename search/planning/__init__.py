"""The plan of a sweep: checked inputs, space, initial points, weights, images, expected cost.

Everything that is settled before a trial runs. It starts no Ray, and trains nothing but a few steps
that are timed.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
