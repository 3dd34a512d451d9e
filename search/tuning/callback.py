"""`TuneCallback`: passes checkpoint states, logits and failures from Ray Tune to the lifecycle."""

import pickle
import re
from contextlib import suppress
from typing import Any

from ray.exceptions import RayTaskError
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.result import NODE_IP

from search.trial import LOGITS_KEY, STATE_KEY, TrialRequest
from search.tuning.lifecycle import SearchLifecycle
from search.tuning.retries import Failure
from search.tuning.tune_internals import error_files, forget_metric_history
from trainables.training import RoundReport


class TuneCallback(Callback):
    """Takes checkpoint states and logits out of results, and finds out why a trial failed."""

    def __init__(self, lifecycle: SearchLifecycle) -> None:
        self._lifecycle = lifecycle

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Store a round's state and logits, and remove both from the result, which Tune keeps."""
        number, report = TrialRequest.from_ray(trial.config).number, RoundReport.from_dict(result)
        logits, state = result.pop(LOGITS_KEY, None), result.pop(STATE_KEY, None)
        if logits is not None:
            self._lifecycle.keep_logits(number, report, logits)
        if state is None or (result["done"] and not self._lifecycle.pauses):
            return
        if result["done"]:  # then `StudySearcher` hears of the round only after this method
            self._lifecycle.report(number, report, node_ip=result[NODE_IP])
        self._lifecycle.keep_state(number, state)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Free the memory that Tune would hold for an ended trial."""
        forget_metric_history(trial)

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Record why a trial failed."""
        self._lifecycle.fail(TrialRequest.from_ray(trial.config).number, failure_of(trial))


def failure_of(trial: Trial) -> Failure:
    """The failure of a trial, read from the error files that Tune wrote."""
    pickled, text_file = error_files(trial)
    error: Exception | None = None
    if pickled is not None:
        with suppress(Exception):  # its class may be missing on the driver
            error = pickle.loads(pickled.read_bytes())
    text = str(error) if error else text_file.read_text("utf-8") if text_file else "unknown"
    raised = error.cause if isinstance(error, RayTaskError) else None
    ip = re.search(r"\bip[=:]\s*([^\s,)]+)", text, re.IGNORECASE)
    return Failure(
        _cause(text) if raised is None else f"{type(raised).__name__}: {raised}".splitlines()[0],
        re.sub(r"\x1b\[\d+m", "", text),  # remove Ray's colour codes
        is_exception=raised is not None,
        ip=ip[1] if ip else "",
    )


def _cause(text: str) -> str:
    """The first sentence of Ray's out-of-memory error, or else of the text's last line."""
    memory = re.search(r"OutOfMemoryError: (.*)", text)
    line = memory[1] if memory else text.strip().splitlines()[-1]
    return line.partition(". ")[0].rstrip(".")
