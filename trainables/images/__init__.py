"""One image file: its format by content, its pixels as eight-bit RGB, and the input made of them.

A file may lie in a container: a tar archive or a Parquet file, which a path leads into.
Knows nothing of labels, splits or datasets.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
