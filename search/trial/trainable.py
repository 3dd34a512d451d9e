"""One trial as Ray Tune runs it: a class Trainable around `finetune`, reset in place."""

from typing import Any

import torch
from ray import tune

from search.trial.checkpoints import Checkpoints, pack
from search.trial.context import TrialJob
from trainables.process import prepare_process
from trainables.training import CONTEXT_MIB, FineTuning, Folds, MemoryTable

NUMBER, PARAMS, REPEAT, AGAIN, AVOID = "number", "params", "repeat", "again", "avoid"
"""Keys of the configuration that Ray hands to a trial; again says to go on from its checkpoint."""
STATE, LOGITS = "state", "logits"
"""Keys of a result: what the trial would go on from, packed; and of an epoch that is its best so
far, the answers to the validation images."""


class FineTuneTrial(tune.Trainable):
    """One step is one epoch. The actor is used again for the next trial."""

    def setup(  # type: ignore[override]
        self, config: dict[str, Any], *, job: TrialJob, checkpoints: Checkpoints
    ) -> None:
        """Called once per actor."""
        held = self.trial_resources.required_resources if self.trial_resources else {}
        prepare_process(threads=max(1, int(held.get("CPU", 1))))
        if job.device == "cuda":  # Ray's shares are bookkeeping: this holds a trial to its own
            total = torch.cuda.get_device_properties(0).total_memory / 2**20
            share = held.get("GPU", 1.0) - CONTEXT_MIB / total
            torch.cuda.set_per_process_memory_fraction(max(share, 0.01))
        self._job, self._checkpoints = job, checkpoints
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Make this actor run another trial; the first step begins it, and may raise."""
        self._told = False
        self._tuning: FineTuning | Folds | None = None  # two models at a time may not fit
        self._asked = new_config
        if self._job.device == "cuda":
            torch.cuda.empty_cache()
        return True

    def step(self) -> dict[str, Any]:
        """Run an epoch."""
        if self._tuning is None:
            self._tuning = self._begin(self._asked)
        report = self._tuning.run_epoch()
        if self._tuning.ran_out and not self._told:  # the next sweep gives its kind more
            self._told = True
            table = MemoryTable.of(self._job.config.cache_dir)  # at home, where it is read
            noted = (torch.cuda.get_device_name(), self._job.memory_case(self._tuning.params))
            self._job.home.call(MemoryTable.raise_estimate, table, *noted)
        result = {**report.to_dict(), "done": report.is_last}
        if self._asked[REPEAT] is None and (logits := self._tuning.best_logits) is not None:
            result[LOGITS] = logits
        if not report.is_last:
            result[STATE] = pack(self._tuning.state_dict())
        return result

    def _begin(self, asked: dict[str, Any]) -> FineTuning | Folds:
        tuning = self._job.begin(asked[PARAMS], asked[REPEAT])
        state = self._checkpoints.read(asked[NUMBER]) if asked[AGAIN] else None
        if state is not None:
            tuning.load_state_dict(state)
        return tuning
