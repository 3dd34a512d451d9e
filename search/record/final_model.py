"""`FinalModel`: the retrained model of a sweep and its test result, ``metrics.json``.

Importing it needs no torch; loading the model does.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import TypeAdapter

from search.record.invocation import sweep_command
from search.record.paths import SweepPaths
from spaces import RunError, TrialParams
from trainables.evaluation import (
    McNemarTest,
    Predictions,
    SensitivitySpecificity,
    TestMetrics,
)

if TYPE_CHECKING:
    from torch import nn

    from trainables.inference import Flips


@dataclass(frozen=True)
class RetrainedTrial:
    """A retrained trial: the whole final model, or one member of an ensemble."""

    trial_id: str
    epochs: float
    """Number of epochs of the retraining."""
    val_accuracy: float
    """Validation accuracy of the trial's best round. It is optimistic, because validation scores
    selected the trial."""
    params: TrialParams
    weight: float = 1.0
    """Weight of the trial's probabilities in the ensemble; the weights of all members sum to 1."""
    temperature: float = 1.0
    """Temperature that divides the logits. The last layer is stored already divided by it."""
    trial_rounds: int | None = None
    """Rounds that the trial had when it was retrained; None in files of earlier versions."""

    def load(self, file: Path, classes: int, *, exportable: bool = False) -> "nn.Module":
        """Load the trained model from its weights ``file``, on the CPU, in eval mode.

        ``classes`` is the number of classes; ``exportable`` chooses timm layers that can be
        exported.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file  # reading the test result needs no torch

        from trainables.models import Weights, build_model

        untrained = Weights(self.params.backbone, "retrained", None)
        model = build_model(self.params, untrained, classes, exportable=exportable)
        try:
            model.load_state_dict(load_file(file))
        except (RuntimeError, SafetensorError):  # of another model, or cut
            raise RunError(
                f"{file} does not hold the weights of {self.params.backbone}, which trial "
                f"{self.trial_id} was retrained to; restore the file, or run 'finesweep retrain'."
            ) from None
        return model.eval()


@dataclass(frozen=True)
class ProbeBaseline:
    """Test result of the best linear probe of the search, retrained as the final model is."""

    trial_id: str
    accuracy: float
    comparison: McNemarTest
    """Test of the final model, which comes first, against the probe."""

    def __str__(self) -> str:
        probe = f"The best linear probe, trial {self.trial_id}, has {self.accuracy:.4f}."
        return f"{probe} {self.comparison}"


@dataclass(frozen=True)
class FinalModel:
    """Contents of ``metrics.json``: members and test metrics of the final model."""

    test: TestMetrics
    majority_accuracy: float
    """Test accuracy of always predicting the most frequent class."""
    members: tuple[RetrainedTrial, ...]
    """The winner comes first; if the model is an ensemble, the other members follow."""
    rates: SensitivitySpecificity | None = None
    """Sensitivity and specificity on the test images, if a sensitivity was required."""
    probe: ProbeBaseline | None = None
    """Baseline; None if the search had no linear probe, or if the final model is one itself."""
    flips: "Flips" = "none"
    """Mirror images whose probabilities are averaged with those of the image."""

    @property
    def winner(self) -> RetrainedTrial:
        """The best trial, retrained."""
        return self.members[0]

    @property
    def name(self) -> str:
        """Readable name: "trial 0007" or "the mean of trials 0007, 0012"."""
        names = [member.trial_id for member in self.members]
        return f"the mean of trials {', '.join(names)}" if len(names) > 1 else f"trial {names[0]}"

    def to_dict(self) -> dict[str, Any]:
        """Contents of ``metrics.json``."""
        members = [
            {**vars(member), "params": member.params.model_dump()} for member in self.members
        ]
        return {
            "test": asdict(self.test),
            "majority_accuracy": self.majority_accuracy,
            "members": members,
            "rates": asdict(self.rates) if self.rates else None,
            "probe": asdict(self.probe) if self.probe else None,
            "flips": self.flips,
        }

    @classmethod
    def read(cls, paths: SweepPaths) -> Self:
        """Read the final model of a sweep. Raises `FileNotFoundError` if none was retrained."""
        values = json.loads(paths.metrics.read_text(encoding="utf-8"))
        test = values["test"]
        low, high = test.pop("accuracy_ci95")
        return cls(
            TestMetrics(accuracy_ci95=(low, high), **test),
            values["majority_accuracy"],
            TypeAdapter(tuple[RetrainedTrial, ...]).validate_python(values["members"]),
            TypeAdapter(SensitivitySpecificity | None).validate_python(values["rates"]),
            TypeAdapter(ProbeBaseline | None).validate_python(values.get("probe")),
            values.get("flips", "none"),
        )

    def predictions(self, paths: SweepPaths, classes: Sequence[str]) -> Predictions:
        """Read the probabilities of the test images, in the order of ``classes``.

        Raises `RunError` if they don't have the accuracy of this test, as when one of the files
        was copied from elsewhere.
        """
        predictions = Predictions.read(paths.predictions, classes)
        accuracy = float(predictions.correct.mean())
        if not math.isclose(accuracy, self.test.accuracy):
            raise RunError(
                f"{paths.predictions} has a test accuracy of {accuracy:.4f}, but "
                f"{paths.metrics} has {self.test.accuracy:.4f}, so they are of different models; "
                f"restore both, or make both anew with '{sweep_command('retrain', paths)}'."
            )
        return predictions

    def load(self, paths: SweepPaths, classes: int, *, exportable: bool = False) -> "nn.Module":
        """Load the trained model on the CPU, in eval mode: that of one member, or an `Ensemble`.

        It averages over the mirror images that `flips` names. ``classes`` and ``exportable`` are
        those of `RetrainedTrial.load`.
        """
        from trainables.inference import Ensemble, average_flips

        models = [
            member.load(paths.member_weights(k), classes, exportable=exportable)
            for k, member in enumerate(self.members)
        ]
        if len(models) == 1:
            return average_flips(models[0], self.flips)
        weights = [member.weight for member in self.members]
        return average_flips(Ensemble(models, weights).eval(), self.flips)
