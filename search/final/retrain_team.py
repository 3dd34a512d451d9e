"""Retraining by several workers of the cluster together: one Ray task per GPU.

Ray Train's TorchTrainer does the same. It was tried: it starts in 13 s, hands models over only as
checkpoints on a disk that all machines share, and did not begin anew when a worker had died.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError
from torch import distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from search.cluster import selector_excluding
from spaces import RunError
from spaces.wording import counted
from trainables.training import Team

_log = logging.getLogger("finesweep")

_MIN_STEPS = 200
"""Least number of optimizer steps of a retraining by several workers."""
_ATTEMPTS = 3
"""Number of times that the team begins, if a worker or a machine is lost."""
_TIMEOUT = timedelta(minutes=5)
"""Time after which a worker that waits for another one gives up."""

Step = TypeVar("Step")
Steps = Callable[[Team], Iterator[Step]]


def team_size(wanted: int, batches: float) -> int:
    """Number of workers, ``wanted`` or fewer, that share the ``batches`` of a whole retraining.

    A step of n workers has n batches, and with fewer than `_MIN_STEPS` the model would learn less.
    """
    size = max(1, min(wanted, int(batches / _MIN_STEPS)))
    if size < wanted:
        _log.warning(
            "a model is retrained by %s instead of %d: each step has a batch of every worker, and "
            "%d steps or more should remain",
            counted(size, "worker"),
            wanted,
            _MIN_STEPS,
        )
    return size


def run_in_team(
    steps: Steps[Step], size: int, *, on_gpu: bool, cpus: int, avoid: Sequence[str]
) -> Iterator[Step]:
    """Run ``steps`` in ``size`` workers at once, and yield what the first of them yields.

    If a worker or its machine is lost, all begin anew, and so does what is yielded. Each worker has
    a GPU or, without ``on_gpu``, ``cpus`` CPUs. Ray nodes whose ids are in ``avoid`` are not used.
    Raises the `RunError` that ``steps`` raises, or a `RayError` if the workers fail again and
    again.
    """
    options: dict[str, Any] = {"num_gpus": 1} if on_gpu else {"num_cpus": cpus}
    options |= {"max_calls": 1, "max_retries": 0, "label_selector": selector_excluding(avoid)}
    for attempts_left in reversed(range(_ATTEMPTS)):
        try:
            yield from _attempt(steps, size, "nccl" if on_gpu else "gloo", options)
            return
        except RunError:
            raise
        except RayError as error:
            if not attempts_left:
                raise
            reason = str(error).strip().splitlines()[-1]
            _log.warning("the workers that retrain together begin anew (%s)", reason)


def _attempt(
    steps: Steps[Step], size: int, backend: str, options: dict[str, Any]
) -> Iterator[Step]:
    """Start the first worker, then the others with its address."""
    start: Any = ray.remote(num_returns="streaming", **options)
    join: Any = ray.remote(**options)
    first = start(_begin).remote(steps, size, backend)
    others = []
    try:
        address = ray.get(next(first))
        others = [join(_join).remote(steps, r, size, backend, *address) for r in range(1, size)]
        yield from map(ray.get, first)
        ray.get(others)
    finally:
        for task in (first, *others):
            ray.cancel(task, force=True)


def _begin(steps: Steps[Step], size: int, backend: str) -> Iterator[Any]:
    """Yield this worker's host and port, then the steps of the team's first member."""
    host = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    store = TCPStore(host, 0, is_master=True, wait_for_workers=False, timeout=_TIMEOUT)
    yield host, store.port
    yield from _as_member(steps, 0, size, backend, store)


def _join(steps: Steps[Step], rank: int, size: int, backend: str, host: str, port: int) -> None:
    """Make the steps of another member of the team."""
    store = TCPStore(host, port, timeout=_TIMEOUT)
    for _ in _as_member(steps, rank, size, backend, store):
        pass


def _as_member(
    steps: Steps[Step], rank: int, size: int, backend: str, store: TCPStore
) -> Iterator[Step]:
    distributed.init_process_group(
        backend, store=store, rank=rank, world_size=size, timeout=_TIMEOUT
    )
    try:
        yield from steps(Team.of_process_group())
    finally:
        distributed.destroy_process_group()
