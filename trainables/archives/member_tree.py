"""Tree of the files in archives, so that the layouts of folders can be applied to them."""

from collections import defaultdict
from collections.abc import Iterable

from spaces import DataError
from trainables.archives.shards import Shards
from trainables.folders import Folder, Tree, file_suffix
from trainables.images import IMAGE_SUFFIXES


def member_tree(shards: Shards) -> Tree:
    """Tree in which each archive is a folder, and the shards of one sequence are one folder.

    What a file is goes by its suffix; none is opened. Raises `DataError` if two shards of one
    sequence hold files of the same name.
    """
    places: dict[str, str] = {}
    for shard in shards.shards:
        for name in shard.members:
            path = f"{shard.folder}/{name}" if shard.folder else name
            if path in places:
                raise DataError(
                    f"The shards {shards.root / places[path]} and {shards.root / shard.join(name)} "
                    f"hold the same name; leave one out with --ignore {shard.path!r}, or make them "
                    "again."
                )
            places[path] = shard.join(name)
    skipped = (*shards.beside.skipped, *shards.skipped)
    return Tree(_folder("", [*places, *shards.beside_paths]), skipped, (), places)


def _folder(path: str, below: Iterable[str]) -> Folder:
    """Folder at ``path`` with the files ``below`` it, whose paths are relative to it."""
    images, others = [], []
    folders: dict[str, list[str]] = defaultdict(list)
    for file in sorted(below):
        name, slash, rest = file.partition("/")
        if slash:
            folders[name].append(rest)
        elif file_suffix(name) in IMAGE_SUFFIXES:
            images.append(name)
        else:
            others.append(name)
    children = [
        _folder(f"{path}/{name}" if path else name, files) for name, files in folders.items()
    ]
    return Folder(path, tuple(children), tuple(images), tuple(others))
