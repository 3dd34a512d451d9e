"""Private torch functions that model splitting needs, in one place.

torch may change these functions without notice. The version of torch that they were tested with
is in ``tests/trainables/models/test_torch_internals.py``.
"""

from typing import Any

from torch.utils import _pytree


def flatten(nested: Any) -> tuple[list[Any], Any]:
    """Leaves of nested tuples, lists and dicts, and a layout for `unflatten`."""
    return _pytree.tree_flatten(nested)


def flat_leaves(nested: Any) -> list[Any]:
    """Leaves of nested containers, in the order of `flatten`."""
    return _pytree.tree_leaves(nested)


def unflatten(leaves: list[Any], layout: Any) -> Any:
    """Inverse of `flatten`: nest the leaves again."""
    return _pytree.tree_unflatten(leaves, layout)
