"""`SweepConfig`: every setting of a sweep, with its default and the checks of all settings."""

import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ValidationError, model_validator
from pydantic.fields import FieldInfo

from search.config.groups import (
    DataSettings,
    FinalModelSettings,
    OutputSettings,
    ResourceSettings,
    SearchSettings,
    SettingGroup,
    SpaceSettings,
    TrainingSettings,
)
from spaces import ConfigError
from spaces.errors import sentences

if TYPE_CHECKING:
    from trainables.data import SplitSpec
    from trainables.listing import ReadOptions, SplitName

GROUPS: tuple[type[SettingGroup], ...] = (
    DataSettings,
    SpaceSettings,
    SearchSettings,
    TrainingSettings,
    ResourceSettings,
    FinalModelSettings,
    OutputSettings,
)
"""Groups of settings, in the order of the help."""

MOST_EPOCHS = 10
"""Largest number of epochs of a trial if ``max_epochs`` is unset."""

FREEZE_THAW_EPOCHS = 20
"""Fewest epochs of a trial at which ``stopping`` "auto" is freeze-thaw."""

UNLIMITED_TRIALS = 10_000
"""Number of trials of a sweep that has a budget but no explicit number of trials."""

FINAL_MODEL_SETTINGS = (
    "ensemble",
    "calibrate",
    "test_time_flips",
    "sensitivity",
    "retrain_workers",
)
"""Settings that a retraining may change: they determine how the final model is made from trials."""

RETRAIN_SETTINGS = ("data", "weights", *FINAL_MODEL_SETTINGS, "export.formats")
"""Settings that `retrain` may change. ``data`` and ``weights`` may name another location, but the
contents must be the same."""

RESUMABLE_SETTINGS = (
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
    "mlflow",
    "confirm",
    "retrain",
    *FINAL_MODEL_SETTINGS,
    "export.formats",
)
"""Settings that a resume may change, because no trial's results depend on them.

``data`` and ``weights`` may name another location, but the contents must be the same.
"""


class SweepConfig(  # pydantic takes the fields of the last base first
    OutputSettings,
    FinalModelSettings,
    ResourceSettings,
    TrainingSettings,
    SearchSettings,
    SpaceSettings,
    DataSettings,
):
    """Every setting of a sweep, in groups: see `GROUPS`."""

    @property
    def sampler_seed(self) -> int:
        """Seed of the sampler: ``seed``, with an offset that depends on the names in ``prior``.

        Without the offset, a sweep would draw the same random points as an earlier sweep with the
        same ``seed``.
        """
        names = " ".join(map(str, self.prior))
        return self.seed + (zlib.crc32(names.encode()) >> 2 if names else 0)

    @property
    def epochs(self) -> int:
        """Epochs of a trial: ``max_epochs``, or `MOST_EPOCHS` until a launch has chosen them."""
        return self.max_epochs or MOST_EPOCHS

    @property
    def stopping_name(self) -> str:
        """Name of the rule that stops weak trials: ``stopping``, or what "auto" stands for."""
        if self.stopping != "auto":
            return self.stopping
        is_long = self.epochs >= FREEZE_THAW_EPOCHS
        return "freeze-thaw" if is_long and self.sampler == "mfgp" else "asha"

    @property
    def read_options(self) -> "ReadOptions":
        """How the data are to be read."""
        from trainables.listing import ReadOptions

        return ReadOptions(
            layout=self.layout,
            ignore=self.ignore,
            image_column=self.image_column,
            label_column=self.label_column,
            split_column=self.split_column,
            group_column=self.group_column,
            image_root=self.image_root,
            group_by=self.group_by,
            merge_labels=self.merge_labels,
            eval_is=self.split.eval_is,
        )

    @property
    def split_spec(self) -> "SplitSpec":
        """How splits are drawn that the data do not give."""
        from trainables.data import SplitSpec

        return SplitSpec(
            val_fraction=self.split.val_fraction,
            test_fraction=self.split.test_fraction,
            seed=self.seed,
        )

    @property
    def validation_splits(self) -> "tuple[SplitName, ...]":
        """Splits whose images validate the trials."""
        return ("train", "val") if self.folds else ("val",)

    @model_validator(mode="before")
    @classmethod
    def _read_old_image_size(cls, values: Any) -> Any:
        """Reads settings of an earlier version, in which ``image_size`` was one of them."""
        values = dict(values)
        size = values.pop("image_size", None)
        if size is not None:
            values["fix"] = {"image_size": size, **values.get("fix", {})}
        return values

    @model_validator(mode="before")
    @classmethod
    def _defaults_by_other_settings(cls, values: Any) -> Any:
        """With a budget, ``trials`` defaults to no limit; with objectives, ``sampler`` to tpe."""
        defaults: dict[str, Any] = {}
        if values.get("time_budget") or values.get("gpu_hours"):
            defaults["trials"] = UNLIMITED_TRIALS
        if values.get("objectives"):
            defaults["sampler"] = "tpe"
        return {**defaults, **values}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if problems := list(self._problems()):
            raise ValueError("\n".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        """Yield a sentence for each rule that these settings break."""
        if self.target is not None and self.metric != "val_loss" and not 0 < self.target <= 1:
            yield (
                f"target must be above 0 and at most 1, not {self.target:g}; only val_loss can be "
                "larger."
            )
        if not re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]*)?", self.name):
            yield (
                "name must begin with a letter or digit and may hold letters, digits, '.', '_' and "
                f"'-', not {self.name!r}; choose another."
            )
        if self.folds == 1:
            yield "folds must be 0 (no cross-validation), or 2 or more, not 1."
        if self.folds and self.val_images != "auto":
            yield (
                "val_images can't be given with folds, which validate on every image; leave one of "
                "them out."
            )
        if self.confirm == 1:
            yield "confirm must be 0 (none), or 2 or more trials to choose between, not 1."
        if self.objectives and self.sampler in ("cmaes", "mfgp"):
            yield (
                f"The sampler {self.sampler} supports only one objective; leave objectives out, or "
                "choose nsga2 or tpe."
            )
        if self.stopping == "freeze-thaw" and self.sampler != "mfgp":
            yield (
                "stopping freeze-thaw lets the sampler mfgp choose which trials go on, but the "
                f"sampler is {self.sampler}; choose mfgp, or stopping asha."
            )
        if self.stopping_name != "none" and (self.asha.grace_epochs or 0) > self.epochs:
            yield (
                f"asha.grace_epochs ({self.asha.grace_epochs:g}) must not be above max_epochs "
                f"({self.epochs}); lower grace_epochs, or set stopping to none."
            )
        if self.prior and self.sampler == "grid":
            yield "prior has no effect with the sampler grid, which tries all points; leave it out."
        if self.group_column and self.group_by:
            yield "group_column and group_by can't be given together; leave one of them out."
        fitted = [name for name in ("calibrate", "sensitivity") if getattr(self, name)]
        if self.test_time_flips != "none" and fitted:
            yield (
                f"test_time_flips can't be given with {' and '.join(fitted)}, which would be "
                "fitted to validation predictions without mirror images; leave one of them out."
            )
        held_out = self.split.val_fraction + self.split.test_fraction
        if held_out >= 0.9:
            yield (
                "split.val_fraction and split.test_fraction must sum to less than 0.9, not "
                f"{held_out:g}; lower one of them."
            )

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Validate nested ``values``. Raises `ConfigError` with a sentence for every problem."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            known = [setting.name for setting in all_settings()]
            raise ConfigError.of(sentences(error, known, "setting")) from None


@dataclass(frozen=True)
class Setting:
    """A setting as the command line sees it: one flag, or one key of a TOML file."""

    name: str
    """Dotted name, such as ``asha.grace_epochs``."""
    group: type[SettingGroup]
    """Group that the setting belongs to; one of `GROUPS`."""
    field: FieldInfo
    """Type, default and documentation of the setting."""

    @property
    def flag(self) -> str:
        """The flag, such as ``--asha.grace-epochs``."""
        return "--" + self.name.replace("_", "-")

    @property
    def is_switch(self) -> bool:
        """Whether the setting is boolean: two flags, such as ``--retrain`` and ``--no-retrain``."""
        return self.field.annotation is bool

    @property
    def is_list(self) -> bool:
        """Whether the flag takes several values, separated by commas."""
        return get_origin(self.field.annotation) is tuple

    @property
    def is_table(self) -> bool:
        """Whether the flag takes pairs NAME=VALUE, each separated by commas or in its own flag."""
        return get_origin(self.field.annotation) is dict

    @property
    def choices(self) -> tuple[str, ...]:
        """Allowed values; empty if the setting is not limited to a list."""
        is_literal = get_origin(self.field.annotation) is Literal
        return get_args(self.field.annotation) if is_literal else ()


def all_settings() -> Iterator[Setting]:
    """Yield every setting, group by group."""
    for group in GROUPS:
        yield from _settings_of(group, group, "")


def _settings_of(
    model: type[BaseModel], group: type[SettingGroup], prefix: str
) -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _settings_of(field.annotation, group, f"{prefix}{name}.")
        else:
            yield Setting(f"{prefix}{name}", group, field)
