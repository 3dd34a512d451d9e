"""Listing: what every data source gives, paths with labels and splits, before an image is opened.

Has the words that sources share: names of splits, labels that differ in spelling, `--ignore`
patterns. Reads no source itself.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
