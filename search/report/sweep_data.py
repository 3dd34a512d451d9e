"""`Found`: all that a sweep has left by now, read once for the page."""

from dataclasses import dataclass
from typing import Self

from search.config import SweepConfig
from search.record import FinalModel, SweepPaths, TrialRecord, load_config, read_trials
from spaces import SearchSpace
from trainables.data import Dataset
from trainables.evaluation import Predictions


@dataclass(frozen=True)
class Found:
    """What was asked, tried and found."""

    paths: SweepPaths
    config: SweepConfig
    space: SearchSpace
    dataset: Dataset
    trials: tuple[TrialRecord, ...]
    """Repeats too."""
    final: FinalModel | None
    tested: Predictions | None
    """Its answers; None without it."""

    @classmethod
    def read(cls, paths: SweepPaths) -> Self:
        """Of a sweep that was launched, also while it runs."""
        dataset = Dataset.read(paths.dataset, paths.split)
        final = FinalModel.read(paths) if paths.metrics.exists() else None
        tested = Predictions.read(paths.predictions, dataset.classes) if final else None
        return cls(
            paths=paths,
            config=load_config(paths),
            space=SearchSpace.load(str(paths.space)),
            dataset=dataset,
            trials=tuple(read_trials(paths.journal)),
            final=final,
            tested=tested,
        )

    @property
    def searched(self) -> list[TrialRecord]:
        """Without the repeats."""
        return [trial for trial in self.trials if trial.repeat is None]

    @property
    def seconds(self) -> float:
        """Of all training."""
        return sum(trial.seconds for trial in self.trials)
