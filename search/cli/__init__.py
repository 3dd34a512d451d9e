"""The command line: its commands, their arguments and flags, and the text that they print."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
