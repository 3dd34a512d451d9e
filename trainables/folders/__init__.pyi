from .given_files import find_given_files as find_given_files
from .source import FolderSource as FolderSource
from .tree import Folder as Folder
from .tree import Tree as Tree
from .tree import file_suffix as file_suffix
from .tree import is_hidden as is_hidden
from .tree import scan_tree as scan_tree
