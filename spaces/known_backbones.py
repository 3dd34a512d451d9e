"""Known backbones: those that `backbone = "auto"` chooses from, by cost and promise.

Their table is backbones.csv; ``python -m tests.benchmarks.backbones.table`` makes it.
"""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from spaces.errors import SpaceError

TABLE = Path(__file__).parent / "backbones.csv"


@dataclass(frozen=True)
class KnownBackbone:
    """A row of the table."""

    backbone: str
    """Name of a timm model with its weight tag."""
    architecture: str
    """Module of timm that builds the model. Models of one module tend to do well together."""
    parameters_millions: float
    """Millions of parameters with a head of two classes."""
    gmacs: float
    """Billions of multiplications and additions for one image of the backbone's own size."""
    promise: float
    """Expected accuracy in points after a fine-tune, relative to the other known backbones."""


@cache
def known_backbones() -> tuple[KnownBackbone, ...]:
    """All rows of the table. Lines that begin with # name its sources."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return tuple(
            KnownBackbone(
                row["backbone"],
                row["architecture"],
                float(row["parameters_millions"]),
                float(row["gmacs"]),
                float(row["promise"]),
            )
            for row in rows
        )


class CostBounds(BaseModel):
    """Bounds of the backbones that "auto" stands for, as a space file gives them."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_parameters_millions: float | None = Field(None, gt=0)
    max_gmacs: float | None = Field(None, gt=0)

    def names(self) -> tuple[str, ...]:
        """Names of the known backbones within the bounds. Raises `SpaceError` if there is none."""
        most_parameters, most_gmacs = self.max_parameters_millions, self.max_gmacs
        names = tuple(
            known.backbone
            for known in known_backbones()
            if (most_parameters is None or known.parameters_millions <= most_parameters)
            and (most_gmacs is None or known.gmacs <= most_gmacs)
        )
        if not names:
            least = min(known_backbones(), key=lambda known: known.parameters_millions)
            raise SpaceError(
                f'backbone = "auto" finds no known backbone within {self._text()}; the smallest, '
                f"{least.backbone}, has {least.parameters_millions:g} million parameters and "
                f"{least.gmacs:g} GMACs: raise the bounds."
            )
        return names

    def _text(self) -> str:
        given = self.model_dump(exclude_none=True)
        return " and ".join(f"{name} = {value:g}" for name, value in given.items())
