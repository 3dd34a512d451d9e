"""`SweepConfig`: everything the user chose. Flags over TOML over defaults, checked in one place."""

import os
import re
import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from spaces import ConfigError
from spaces.errors import sentences

if TYPE_CHECKING:
    from trainables.data import SplitName

Format = Literal["timm", "onnx", "pt2", "torchscript"]
Objective = Literal["parameters", "latency_ms"]
SamplerName = Literal["mfgp", "tpe", "random", "grid", "gp", "cmaes", "nsga2"]

UNLIMITED = 10_000
"""Trials of a sweep that was given a budget of time alone."""

HANDED_OVER = ("ensemble", "calibrate", "sensitivity")
"""Settings of what is made of the trials when the search is over."""

RESUMABLE = (
    "data",
    "weights",
    "trials",
    "time_budget",
    "gpu_hours",
    "target",
    "concurrent",
    "gpus_per_trial",
    "cpus_per_trial",
    "address",
    "cache_dir",
    "cache_gib",
    "storage_path",
    "confirm",
    "retrain",
    *HANDED_OVER,
    "export.formats",
)
"""Settings that may change when a sweep is resumed: no trial's numbers depend on them.

The data and the weights may have moved, but not changed.
"""

_NAMED_STARTS = ("pretrained", "untrained")


class _Settings(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        validate_default=True,
    )


class AshaSettings(_Settings):
    """When ASHA compares trials (Li et al. 2020, "A System for Massively Parallel ...")."""

    grace_epochs: int = Field(1, ge=1)
    """Epochs that every trial gets before it can be stopped (r in the paper)."""
    reduction_factor: int = Field(3, ge=2)
    """One in this many goes on at each rung (eta in the paper)."""


class SplitSettings(_Settings):
    """How images without a given split are divided."""

    val_fraction: float = Field(0.15, gt=0, lt=0.5)
    """Share of each class for validation."""
    test_fraction: float = Field(0.15, gt=0, lt=0.5)
    """Share of each class for the final test."""
    eval_is: Literal["val", "test"] = "val"
    """What a split called "eval" means."""


class ExportSettings(_Settings):
    """What the final model is written as."""

    formats: tuple[Format, ...] = ("timm", "onnx", "pt2")
    """Which formats: timm, onnx, pt2, torchscript."""


class SweepConfig(_Settings):
    """Every setting of a sweep."""

    data: Path | str
    """Folder per class (flat or under train/val/test), CSV, Parquet, or Hugging Face dataset; on a
    disk, or at an address such as s3://BUCKET/PREFIX or hf://OWNER/NAME, which stays a string."""
    name: str = ""
    """Name of the sweep's folder; empty makes one of the data's name and the time."""
    space: str = "default"
    """Search space: a preset's name or a TOML file."""
    trials: int = Field(16, ge=1)
    """How many parameter points are tried; as many as the budget allows, if only that is given."""
    time_budget: float | None = None
    """End the search after so long, such as 90m, 2h or seconds; each resume has it anew."""
    gpu_hours: float | None = Field(None, gt=0)
    """End the search when its trials have held GPUs for so long, a share counting as a share."""
    target: float | None = None
    """End the search once a trial has this much of the metric."""
    max_epochs: int = Field(10, ge=1)
    """Epochs of the trials that are not stopped; also the length of every schedule."""
    metric: Literal["auto", "val_accuracy", "val_balanced_accuracy", "val_macro_f1", "val_loss"] = (
        "auto"
    )
    """What trials are ranked and stopped by; auto is val_accuracy, or val_balanced_accuracy where a
    class has more than three times the training images of another."""
    objectives: tuple[Objective, ...] = ()
    """What is wanted small beside a good metric: parameters, latency_ms. Stopping and the winner
    go by the metric; the leaderboard says which trials nothing beats in everything."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Of the split, the sampler and every trial."""
    points: Path | None = None
    """JSON list of parameter points that are tried first, in order."""
    prior: tuple[Path, ...] = ()
    """Earlier sweeps, by name or folder: the best points of each are tried first."""
    starts: bool = True
    """Then try what the space starts with, or every backbone's head alone and at the defaults; all
    this takes half of the trials at most."""
    sampler: SamplerName = "mfgp"
    """What proposes points: mfgp, a Gaussian process over points and epochs, or one by Optuna's
    name; with objectives tpe unless another is asked for. grid tries those of a space of choices
    and steps in random order, all of them if there are trials enough. gp and nsga2 learn only from
    trials that run to their end: give them stopping none."""
    stopping: Literal["asha", "hyperband", "median", "none"] = "asha"
    """Rule that ends weak trials early, but for those that by the sampler mfgp may yet lead;
    hyperband is ASHA with several lengths of grace."""
    confirm: int | None = Field(None, ge=0)
    """How many of the best trials are trained again with other seeds before a winner is named;
    unset is 3, or fewer that cost no more than a tenth of the search."""
    folds: int = Field(0, ge=0)
    """Cross-validate every trial by so many folds of the training and validation images, for small
    data: so many times the work; 0 validates on the validation images alone."""
    patience: int | None = Field(None, ge=1)
    """End a trial after this many epochs without a better metric; unset never does."""
    image_size: int | None = Field(None, ge=16)
    """Side of the input in pixels for every backbone; unset is as the space says."""
    weights: str = "pretrained"
    """Start of the backbones: "pretrained", "untrained", or a folder of weight files."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic: auto is bfloat16 autocast where it is faster, measured on a CPU, else float32."""
    features: Literal["float16", "float32", "off"] = "float16"
    """How what frozen layers compute is kept for later epochs and trials; off computes it anew."""
    views: int = Field(4, ge=1)
    """Augmented views of an image in a search before they come round again."""
    cache_gib: float = Field(50, gt=0)
    """Room in cache_dir for decoded images and features; the least recently used make way."""
    gpus_per_trial: float | Literal["auto"] = "auto"
    """Share of a GPU that a trial holds; auto is by the memory that it is measured to take."""
    cpus_per_trial: float | None = Field(None, gt=0)
    """CPU cores of a trial; unset is 1, or an even share of them where trials hold GPUs."""
    concurrent: int | None = Field(None, ge=1)
    """Trials at a time; unset is as many as fit."""
    address: str = "local"
    """Ray cluster: local starts one on this machine, auto finds a running one, or HOST:PORT."""
    results_dir: Path = Path("results")
    """Where the sweep's folder is made."""
    storage_path: str = ""
    """Object store to keep a copy of that folder in, such as s3://BUCKET/PREFIX; empty does not."""
    cache_dir: Path = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "finesweep"
    """Where decoded images and converted weights are kept for the next sweep."""
    retrain: bool = True
    """Train the winner on train and val, test it once, and export it."""
    ensemble: int = Field(1, ge=1)
    """Most trials that make up the final model: others answer with the winner where that does
    better in validation, each retrained."""
    calibrate: bool = False
    """Scale each model's logits for the least validation loss, so that its confidence can be
    believed (temperature scaling)."""
    sensitivity: str = ""
    """CLASS=SHARE: of two classes the one that must not be missed, and how much of it is to be
    found; sets the probability from which it is answered, by validation."""
    asha: AshaSettings = AshaSettings()
    split: SplitSettings = SplitSettings()
    export: ExportSettings = ExportSettings()

    @property
    def sampler_seed(self) -> int:
        """Not that of an earlier sweep of ``prior``, whose random points would come again."""
        names = " ".join(map(str, self.prior))
        return self.seed + (zlib.crc32(names.encode()) >> 2 if names else 0)

    @property
    def validated(self) -> "tuple[SplitName, ...]":
        """The splits that trials are validated on."""
        return ("train", "val") if self.folds else ("val",)

    @property
    def cache_bytes(self) -> int:
        """`cache_gib` in bytes."""
        return int(self.cache_gib * 2**30)

    @field_validator("data")
    @classmethod
    def _absolute_or_address(cls, data: Path | str) -> Path | str:
        address = isinstance(data, str) and "://" in data
        return data if address else Path(data).expanduser().absolute()

    @field_validator("points", "results_dir", "cache_dir")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser().absolute()

    @field_validator("space", "weights")
    @classmethod
    def _absolute_if_a_path(cls, value: str, info: ValidationInfo) -> str:
        """A preset and "pretrained" are names; what lies on disk is found from anywhere."""
        path = Path(value).expanduser()
        is_path = path.suffix in (".toml", ".json") or (
            info.field_name == "weights" and path.is_dir()
        )
        return str(path.absolute()) if is_path and value not in _NAMED_STARTS else value

    @field_validator("gpus_per_trial", mode="before")
    @classmethod
    def _share(cls, value: object) -> object:
        """One sentence for both of its kinds."""
        try:
            if value == "auto" or 0 <= float(str(value)) <= 1:
                return value
        except ValueError:
            pass
        raise ValueError(f"must be auto or a share from 0 to 1, not {value!r}.")

    @field_validator("time_budget", mode="before")
    @classmethod
    def _seconds(cls, value: object) -> object:
        """Hours are easier to write; one sentence for all that is none."""
        if value is None:
            return None
        match = re.fullmatch(r"(\d+\.?\d*)\s*([smhd]?)", str(value).strip())
        seconds = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
        if match is None or float(match[1]) == 0:
            raise ValueError(f"must be a time such as 90m, 2h or 3600 (seconds), not {value!r}.")
        return float(match[1]) * seconds[match[2]]

    @field_validator("sensitivity")
    @classmethod
    def _class_and_share(cls, value: str) -> str:
        share = value.rpartition("=")[2]
        if value and not (re.fullmatch(r".+=0?\.\d+|.+=1(\.0*)?", value) and float(share) > 0):
            raise ValueError(f"must be CLASS=SHARE, such as crack=0.95, not {value!r}.")
        return value

    @field_validator("name")
    @classmethod
    def _made_up(cls, name: str, info: ValidationInfo) -> str:
        """A name of the data's and the time, if none was given."""
        if name or "data" not in info.data:
            return name
        stem = Path(str(info.data["data"]).partition("?")[0]).stem
        made = f"{stem}-{datetime.now():%Y%m%d-%H%M%S}"
        return re.sub(r"[^A-Za-z0-9._-]", "_", made).lstrip("._-")

    @model_validator(mode="before")
    @classmethod
    def _implied(cls, values: Any) -> Any:
        """Trials as many as a budget allows; a sampler that knows several objectives."""
        implied: dict[str, Any] = {}
        if values.get("time_budget") or values.get("gpu_hours"):
            implied["trials"] = UNLIMITED
        if values.get("objectives"):
            implied["sampler"] = "tpe"
        return {**implied, **values}

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = []
        if self.target is not None and self.metric != "val_loss" and not 0 < self.target <= 1:
            problems.append(
                f"target must lie between 0 and 1, not at {self.target:g}; only val_loss has more."
            )
        if not re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]*)?", self.name):
            problems.append(
                f"name may hold letters, digits, '.', '_' and '-', not {self.name!r}; rename it."
            )
        if self.folds == 1:
            problems.append("folds must be 0, or 2 or more to leave some images out of, not 1.")
        if self.confirm == 1:
            problems.append("confirm must be 0, or 2 trials or more to choose between, not 1.")
        if self.objectives and self.sampler in ("cmaes", "mfgp"):
            problems.append(
                f"The sampler {self.sampler} knows one objective; leave objectives out, or take "
                "nsga2 or tpe."
            )
        if self.stopping != "none" and self.asha.grace_epochs > self.max_epochs:
            problems.append(
                f"asha.grace_epochs ({self.asha.grace_epochs}) must not be above max_epochs "
                f"({self.max_epochs}); lower it or set stopping to none."
            )
        if self.split.val_fraction + self.split.test_fraction >= 0.9:
            problems.append("split.val_fraction and split.test_fraction leave too little to train.")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Validate nested ``values``. Raises `ConfigError` with every problem, a sentence each."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ConfigError.of(sentences(error, dict(setting_fields()), "setting")) from None


def setting_fields(
    model: type[BaseModel] = SweepConfig, prefix: str = ""
) -> Iterator[tuple[str, FieldInfo]]:
    """Every setting by its dotted name, such as ``asha.grace_epochs``."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from setting_fields(info.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", info
