"""The image sets whose curves Finesweep recorded (`recorded`), as worlds."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tests.benchmarks.record_curves import EPOCHS, SETS, SPACE, UNSEEN
from tests.benchmarks.worlds import recorded
from tests.benchmarks.worlds.world import ScoreCurve, World


class ImageSet(World):
    """Fine-tunes on an image set; a score is an accuracy. A trial has a draw of recorded noise."""

    rounds = EPOCHS

    def __init__(self, name: str) -> None:
        self.name, self.space, self._set = f"images {name}", SPACE.distributions(), name
        self.is_seen = name != UNSEEN

    @property
    def best(self) -> float:  # type: ignore[override]
        """Test accuracy of the best point."""
        return self._surrogate.best

    @property
    def untrained(self) -> float:  # type: ignore[override]
        """Mean test accuracy of random points: that of a search without a result."""
        return self._surrogate.typical

    @property
    def _surrogate(self) -> recorded.World:
        """Surrogate model of the curves, fitted at its first use in a process: it takes a while."""
        return recorded.world(self._set)

    def run(self, point: Mapping[str, Any], rng: np.random.Generator) -> ScoreCurve:
        """Curve of the surrogate model."""
        curve = self._surrogate.run(SPACE.params(dict(point), native_image_size={}), rng)
        return ScoreCurve(curve.val_accuracy, curve.test_accuracy, curve.seconds)


def image_sets() -> Iterator[ImageSet]:
    """All recorded image sets."""
    return map(ImageSet, SETS)
