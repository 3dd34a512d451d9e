"""The plan of a sweep: checked inputs, space, initial points, weights, images, expected cost.

The plan is complete before any trial runs. Planning does not start Ray, and trains only a few steps
to time the backbones.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
