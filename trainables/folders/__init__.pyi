from .given_files import find_given_files as find_given_files
from .source import FolderSource as FolderSource
