"""Tables of images: CSV, JSON Lines, Parquet and Hugging Face datasets.

Chooses columns, and finds the files of rows, or their images inside the table.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
