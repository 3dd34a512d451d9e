"""Tar archives of images, such as WebDatasets: read where they lie, without unpacking.

Finds archives and their shards, and gives the labels of their images: by the layouts of folders, or
as tables. The bytes are read by `trainables.images`, which knows images by their paths in archives.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
