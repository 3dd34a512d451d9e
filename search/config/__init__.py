"""Settings of a sweep: flags, TOML keys, defaults and checks. This room reads no images."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
