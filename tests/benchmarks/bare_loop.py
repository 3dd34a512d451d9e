"""Bare training loop: the same steps as a trial, on tensors in memory (channels_last, float32).

There is no Ray, decoding, augmentation or stored feature. Two such loops run side by side, as two
workers of a sweep do.
"""

import queue
import time
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.queues import Queue

import torch

from spaces import TrialParams
from trainables.models import (
    Weights,
    build_model,
    make_optimizer,
    set_train_mode,
    unfreeze_groups,
    unfrozen_group_count,
)
from trainables.process import configure_process

WORKERS = 2


def bare_seconds(params: TrialParams, *, train: int, val: int, classes: int, epochs: int) -> float:
    """Wall seconds of ``epochs`` epochs that train on ``train`` images and evaluate ``val``."""
    configure_process(threads=1)
    untrained = Weights(params.backbone, "none", None)
    model = build_model(params, untrained, classes).to(memory_format=torch.channels_last)
    unfreeze_groups(model, unfrozen_group_count(model, params.unfreeze))
    optimizer = make_optimizer(model, params)
    images = torch.rand(64, 3, params.image_size, params.image_size)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.arange(64) % classes
    began = time.perf_counter()
    for _ in range(epochs):
        set_train_mode(model, params.batchnorm)
        for start in range(0, train, params.batch_size):
            count = min(params.batch_size, train - start)
            loss = torch.nn.functional.cross_entropy(model(images[:count]), labels[:count])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            for start in range(0, val, 64):
                model(images[: min(64, val - start)])
    return time.perf_counter() - began


def bare_times(trials: Sequence[TrialParams], **work: int) -> list[float]:
    """`bare_seconds` of each trial, with `WORKERS` trials at a time."""
    context = get_context("spawn")
    todo, done = context.Queue(), context.Queue()
    for number, params in enumerate(trials):
        todo.put((number, params))
    time.sleep(1)  # a background thread fills the queue
    workers = [context.Process(target=_worker, args=(todo, done, work)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    times = dict(done.get() for _ in trials)
    for worker in workers:
        worker.join()
    return [times[number] for number in range(len(trials))]


def _worker(
    todo: "Queue[tuple[int, TrialParams]]", done: "Queue[tuple[int, float]]", work: dict[str, int]
) -> None:
    while True:
        try:
            number, params = todo.get_nowait()
        except queue.Empty:
            return
        done.put((number, bare_seconds(params, **work)))
