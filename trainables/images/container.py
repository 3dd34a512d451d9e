"""Container: one file that holds many images by their names, such as a tar archive."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator


class ImageContainer(ABC):
    """File whose images are read where they lie. Its content is assumed not to change.

    A name is a path within the file, with "/" between its parts.
    """

    @property
    @abstractmethod
    def names(self) -> Collection[str]:
        """Names of all files in it, in its order."""

    @abstractmethod
    def size_bytes(self, name: str) -> int:
        """Size of a file in it, or an estimate. Raises `KeyError` for an unknown name."""

    @abstractmethod
    def contents(self, names: Iterable[str]) -> Iterator[bytes]:
        """Yield the contents of files in it. Raises `OSError`, `ValueError` or `KeyError`."""
