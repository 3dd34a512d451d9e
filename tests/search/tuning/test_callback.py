import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray.exceptions import RayTaskError

from search.record import read_trials
from search.trial import LOGITS_KEY, STATE_KEY, TrialRequest
from search.tuning.callback import TuneCallback, failure_of
from spaces import TrialParams
from tests.support.simulated_tune import HERE, as_told, simulated_tune


def stand_in(folder: Path, text: str, error: Exception | None = None, number: int = 0) -> Any:
    """A failed trial as Ray leaves it: an error file, and a pickled exception if there is one."""
    (folder / "error.txt").write_text(text)
    pickled = folder / "error.pkl"
    if error is not None:
        pickled.write_bytes(pickle.dumps(error))
    request = TrialRequest(number, TrialParams(backbone="a"))
    return SimpleNamespace(
        config=request.to_ray(),
        error_file=str(folder / "error.txt"),
        pickled_error_file=str(pickled) if error is not None else None,
    )


def test_a_trials_exception_is_described_by_its_class_and_first_line(tmp_path: Path) -> None:
    error = RayTaskError("step", "Traceback ...", ValueError("boom\nmore"))
    failure = failure_of(stand_in(tmp_path, "unused", error))
    assert failure.cause == "ValueError: boom"
    assert failure.is_exception


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            "The actor died unexpectedly.\nThe node ip: 10.0.0.7, was terminated. See the logs.",
            "The node ip: 10.0.0.7, was terminated",
        ),
        (
            "ray.exceptions.OutOfMemoryError: Task was killed. Memory on ip=10.0.0.7, was full.",
            "Task was killed",
        ),
    ],
)
def test_a_lost_worker_is_described_by_rays_message_and_its_address(
    tmp_path: Path, text: str, cause: str
) -> None:
    failure = failure_of(stand_in(tmp_path, f"\x1b[31m{text}\x1b[0m"))
    assert (failure.cause.replace("\x1b[0m", ""), failure.ip) == (cause, "10.0.0.7")
    assert not failure.is_exception
    assert "\x1b" not in failure.text


def test_states_and_logits_are_saved_and_removed_from_the_result(tmp_path: Path) -> None:
    tune = simulated_tune(tmp_path)
    request = tune.begin("x")
    tune.result("x", 1, 0.5)
    trial: Any = SimpleNamespace(config=request.to_ray())
    state, logits = np.arange(3, dtype=np.uint8), np.zeros((0, 2), np.float16)
    result = {**as_told(1, 0.5), "done": False, STATE_KEY: state, LOGITS_KEY: logits}
    with tune.checkpoint_writer:
        TuneCallback(tune.lifecycle).on_trial_result(1, [], trial, result)
    assert not {STATE_KEY, LOGITS_KEY} & result.keys()
    assert (tmp_path / "checkpoints" / "0000.pt").read_bytes() == bytes([0, 1, 2])
    assert [file.name for file in (tmp_path / "answers").iterdir()] == ["0000.npz"]


def test_a_failure_is_recorded_with_its_traceback(tmp_path: Path) -> None:
    tune = simulated_tune(tmp_path)
    tune.begin("x")
    error = RayTaskError("step", "Traceback ...", ValueError("boom"), ip=HERE.ip)
    callback = TuneCallback(tune.lifecycle)
    callback.on_trial_error(1, [], stand_in(tmp_path, "unused", error))
    tune.begin("x again")
    callback.on_trial_error(1, [], stand_in(tmp_path, "unused", error))
    (trial,) = read_trials(tmp_path / "study.journal")
    assert trial.status == "failed"
    assert trial.error.startswith("ValueError: boom; see ")
    assert (tmp_path / "failures" / "0000.txt").read_text().count("(pid=") == 2
