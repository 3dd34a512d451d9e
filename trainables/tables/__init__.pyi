from .huggingface import HUB_SCHEME as HUB_SCHEME
from .huggingface import HuggingFaceSource as HuggingFaceSource
from .parquet_folder import ParquetFolderSource as ParquetFolderSource
from .parquet_folder import find_shards as find_shards
from .source import TableSource as TableSource
