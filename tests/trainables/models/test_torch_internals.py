"""Guards: the private parts of torch that model splitting uses are still there."""

import importlib

import torch

from trainables.models.torch_internals import flat_leaves, flatten, unflatten

TRIED = "2.14.1"
MOVED = (
    f"a private part of torch that Finesweep uses (tried with {TRIED}) has moved in "
    f"{torch.__version__}"
)


def test_torch_has_the_private_functions_for_nested_containers() -> None:
    pytree = importlib.import_module("torch.utils._pytree")
    for name in ("tree_flatten", "tree_leaves", "tree_unflatten"):
        assert callable(getattr(pytree, name, None)), f"{MOVED}: torch.utils._pytree.{name}"


def test_nested_containers_are_flattened_and_nested_again() -> None:
    nested = (1, [2.5, {"a": "x", "b": None}], (), slice(4, 5))
    leaves, layout = flatten(nested)
    assert leaves == [1, 2.5, "x", None, slice(4, 5)], MOVED
    assert flat_leaves(nested) == leaves, MOVED
    assert unflatten(leaves, layout) == nested, MOVED
