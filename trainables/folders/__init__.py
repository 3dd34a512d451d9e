"""Folders of images: their layout, and the label and split that it gives each image.

Opens no image except to tell it from other files and from masks. Tables beside images belong to
`trainables.tables`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
