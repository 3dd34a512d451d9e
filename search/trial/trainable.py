"""`FineTuneTrial`: a fine-tune as a `Trainable` class of Ray Tune; an actor runs many in turn."""

from typing import Any

import torch
from ray import tune

from search.trial.checkpoints import Checkpoints, pack
from search.trial.context import TrialJob
from search.trial.request import TrialRequest
from trainables.process import configure_process
from trainables.training import CONTEXT_MIB, CrossValidation, FineTuning, MemoryTable

STATE_KEY = "state"
"""Key of a result's packed state, from which a retry or a resume continues the trial."""
LOGITS_KEY = "logits"
"""Key of a result's validation logits; present only if the round is the best so far."""


class FineTuneTrial(tune.Trainable):
    """Runs one round per step. Ray calls `setup` for an actor's first trial, then `reset_config`.

    It writes no checkpoints: each state travels to the driver inside a result.
    """

    def setup(  # type: ignore[override]
        self, config: dict[str, Any], *, job: TrialJob, checkpoints: Checkpoints
    ) -> None:
        """Set this process's number of threads and cap on GPU memory, and accept a first trial."""
        held = self.trial_resources.required_resources if self.trial_resources else {}
        configure_process(threads=max(1, int(held.get("CPU", 1))))
        if job.device == "cuda":  # Ray itself does not limit memory
            total_mib = torch.cuda.get_device_properties(0).total_memory / 2**20
            share = held.get("GPU", 1.0) - CONTEXT_MIB / total_mib
            torch.cuda.set_per_process_memory_fraction(max(share, 0.01))
        self._job, self._checkpoints = job, checkpoints
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Switch to another trial. The model is built by the first step, which may raise."""
        self._reported_out_of_memory = False
        self._tuning: FineTuning | CrossValidation | None = None  # frees the old model
        self._request = TrialRequest.from_ray(new_config)
        if self._job.device == "cuda":
            torch.cuda.empty_cache()
        return True

    def step(self) -> dict[str, Any]:
        """Run a round; returns its `RoundReport` as a dict, with the state and logits to store."""
        if self._tuning is None:
            self._tuning = self._begin()
        report = self._tuning.run_round()
        if self._tuning.ran_out_of_memory and not self._reported_out_of_memory:
            self._raise_memory_estimate(self._tuning)
        result = {**report.to_dict(), "done": report.is_last}
        if self._request.repeat is None and (logits := self._tuning.best_logits) is not None:
            result[LOGITS_KEY] = logits
        if not report.is_last:
            result[STATE_KEY] = pack(self._tuning.state_dict())
        return result

    def _begin(self) -> FineTuning | CrossValidation:
        request = self._request
        tuning = self._job.begin(request.params, request.repeat)
        state = self._checkpoints.read(request.number) if request.from_checkpoint else None
        if state is not None:
            tuning.load_state_dict(state)
        return tuning

    def _raise_memory_estimate(self, tuning: FineTuning | CrossValidation) -> None:
        """Raise the memory estimate of such trials in the driver's table, for later sweeps."""
        self._reported_out_of_memory = True
        table = MemoryTable.of(self._job.config.cache_dir)
        case = self._job.memory_case(tuning.params)
        self._job.driver.call(MemoryTable.raise_estimate, table, torch.cuda.get_device_name(), case)
