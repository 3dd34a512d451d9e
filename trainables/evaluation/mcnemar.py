"""McNemar's test: whether two models differ in accuracy on the same images."""

from dataclasses import dataclass
from typing import Self

import numpy as np

SIGNIFICANCE_LEVEL = 0.05
"""A difference is called significant if its p-value is below this."""


@dataclass(frozen=True)
class McNemarTest:
    """McNemar's exact test (McNemar 1947) of two models' accuracy on the same test images."""

    first: str
    """Name of one model."""
    second: str
    """Name of the other model."""
    images: int
    """Number of test images."""
    only_first: int
    """Number of images that only the first model classifies correctly."""
    only_second: int
    """Number of images that only the second model classifies correctly."""
    pairs: int = 1
    """Number of pairs of models in the whole comparison, for the Bonferroni correction."""

    @classmethod
    def of(
        cls, first: str, second: str, right: np.ndarray, also_right: np.ndarray, *, pairs: int = 1
    ) -> Self:
        """The test, from whether each model is right on each image: two ``(n,)`` bool arrays."""
        only_first, only_second = (right & ~also_right).sum(), (also_right & ~right).sum()
        return cls(first, second, len(right), int(only_first), int(only_second), pairs)

    @property
    def p_value(self) -> float:
        """Two-sided p-value for equal accuracy, Bonferroni-corrected for the number of pairs."""
        from scipy.stats import binomtest  # takes a second to import

        discordant = self.only_first + self.only_second
        uncorrected = float(binomtest(self.only_first, discordant).pvalue) if discordant else 1.0
        return min(1.0, self.pairs * uncorrected)

    def __str__(self) -> str:
        if not (self.only_first or self.only_second):
            return (
                f"{self.first} and {self.second} are right on exactly the same images, among "
                f"{self.images} test images."
            )
        significant = self.p_value < SIGNIFICANCE_LEVEL
        verdict = "a significant difference" if significant else "no significant difference"
        correction = f", Bonferroni-corrected for {self.pairs} pairs" if self.pairs > 1 else ""
        return (
            f"On the same {self.images} test images, only {self.first} is right on "
            f"{self.only_first} and only {self.second} on {self.only_second}: {verdict} "
            f"(McNemar's exact test{correction}, p = {self.p_value:.2g})."
        )
