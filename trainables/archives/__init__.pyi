from .source import ArchiveSource as ArchiveSource
from .source import has_archives as has_archives
