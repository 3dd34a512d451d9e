"""What Ray Tune tells its callbacks alone, handed on to the searcher: states, and failures."""

import pickle
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray.exceptions import RayTaskError
from ray.tune import Callback
from ray.tune.experiment import Trial

from search.trial import LOGITS, NUMBER, STATE
from search.tuning.retries import Failure
from search.tuning.searcher import StudySearcher


class TuneEvents(Callback):
    """What Tune tells its callbacks but not its searcher: states, and why a trial failed."""

    def __init__(self, searcher: StudySearcher) -> None:
        self._searcher = searcher

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Take state and logits out of a result, which Tune keeps."""
        logits = result.pop(LOGITS, None)
        if logits is not None:
            self._searcher.keep_logits(trial.config[NUMBER], result, logits)
        state = result.pop(STATE, None)
        if state is not None and not result["done"]:
            self._searcher.keep(trial.trial_id, state)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Drop the running means that Tune keeps of each metric of each trial for ever."""
        trial.run_metadata.metric_analysis.clear()
        trial.run_metadata.metric_n_steps.clear()

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Say why a trial failed."""
        self._searcher.on_trial_failure(trial.trial_id, _failure(trial))


def _failure(trial: Trial) -> Failure:
    """What Ray knows of a trial's failure."""
    error: Exception | None = None
    if trial.pickled_error_file:
        with suppress(Exception):  # of a class that only the worker has
            error = pickle.loads(Path(trial.pickled_error_file).read_bytes())
    text = str(error) if error else _read(trial.error_file)
    raised = error.cause if isinstance(error, RayTaskError) else None
    ip = re.search(r"\bip[=:]\s*([^\s,)]+)", text, re.IGNORECASE)
    return Failure(
        _cause(text) if raised is None else f"{type(raised).__name__}: {raised}".splitlines()[0],
        re.sub(r"\x1b\[\d+m", "", text),  # Ray colours it
        is_exception=raised is not None,
        ip=ip[1] if ip else "",
    )


def _read(file: str | None) -> str:
    return Path(file).read_text(encoding="utf-8") if file else "unknown"


def _cause(text: str) -> str:
    """The sentence that says how a worker was lost, of all that Ray says."""
    memory = re.search(r"OutOfMemoryError: (.*)", text)
    line = memory[1] if memory else text.strip().splitlines()[-1]
    return line.partition(". ")[0].rstrip(".")
