"""`FinalModel`: what a sweep's retrained model is, and its test. Light to import: no torch."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from search.record.paths import SweepPaths
from spaces import TrialParams
from trainables.evaluation import OperatingPoint, Rates, TestMetrics

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Member:
    """A retrained trial."""

    trial_id: str
    epochs: int
    val_accuracy: float
    """Of its best epoch by the sweep's metric: optimistic, it was selected for."""
    params: TrialParams
    weight: float = 1.0
    """Of its probabilities; all members' sum to 1."""
    temperature: float = 1.0
    """What its logits were divided by, in the weights of its last layer."""

    def load(self, file: Path, classes: int, *, exportable: bool = False) -> "nn.Module":
        """The trained model, on the CPU, in eval mode."""
        from safetensors.torch import load_file  # who reads the test alone needs no torch

        from trainables.models import Weights, build_model

        untrained = Weights(self.params.backbone, "retrained", None)
        model = build_model(self.params, untrained, classes, exportable=exportable)
        model.load_state_dict(load_file(file))
        return model.eval()


@dataclass(frozen=True)
class FinalModel:
    """What ``metrics.json`` holds: how the final model was made, and its test."""

    test: TestMetrics
    majority_accuracy: float
    """What always answering the most frequent class gives on the test images."""
    members: tuple[Member, ...]
    """The winner, and those that answer with it."""
    rates: Rates | None = None
    """In the test, of the sensitivity that was asked for."""

    @property
    def winner(self) -> Member:
        """The best trial, retrained."""
        return self.members[0]

    @property
    def name(self) -> str:
        """Of what it is made."""
        names = [member.trial_id for member in self.members]
        return f"the mean of trials {', '.join(names)}" if len(names) > 1 else f"trial {names[0]}"

    def to_dict(self) -> dict[str, Any]:
        """As in ``metrics.json``."""
        members = [
            {**vars(member), "params": member.params.model_dump()} for member in self.members
        ]
        return {
            "test": asdict(self.test),
            "majority_accuracy": self.majority_accuracy,
            "members": members,
            "rates": asdict(self.rates) if self.rates else None,
        }

    @classmethod
    def read(cls, paths: SweepPaths) -> Self:
        """What `retrain` wrote."""
        values = json.loads(paths.metrics.read_text(encoding="utf-8"))
        test = values["test"]
        low, high = test.pop("accuracy_ci95")
        members = [
            Member(**{**member, "params": TrialParams.parse(member["params"])})
            for member in values["members"]
        ]
        return cls(
            TestMetrics(accuracy_ci95=(low, high), **test),
            values["majority_accuracy"],
            tuple(members),
            _rates(values["rates"]),
        )

    def load(self, paths: SweepPaths, classes: int, *, exportable: bool = False) -> "nn.Module":
        """The trained model, on the CPU, in eval mode: timm's, or an `Ensemble` of such."""
        from trainables.inference import Ensemble

        models = [
            member.load(paths.member_weights(k), classes, exportable=exportable)
            for k, member in enumerate(self.members)
        ]
        if len(models) == 1:
            return models[0]
        return Ensemble(models, [member.weight for member in self.members]).eval()


def _rates(values: dict[str, Any] | None) -> Rates | None:
    if values is None:
        return None
    sensitive, specific = values["sensitivity_ci95"], values["specificity_ci95"]
    return Rates(
        OperatingPoint(**values["point"]),
        values["sensitivity"],
        (sensitive[0], sensitive[1]),
        values["specificity"],
        (specific[0], specific[1]),
    )
