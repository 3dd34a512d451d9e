"""Ray clusters: connecting, checking machines, moving files between them, submitting jobs.

This room knows nothing about sweeps or trials, and reads no settings.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
