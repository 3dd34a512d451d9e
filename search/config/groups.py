"""Settings, grouped by topic, in the order in which the help shows them.

A group is a class. Its title is a heading of ``--help``. Each field is a setting, and the field's
docstring is the help of the setting. `SweepConfig` inherits from all groups, so the name of a
setting does not include the name of its group.
"""

import os
import re
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from spaces import Value, value_from_text

Format = Literal["timm", "onnx", "pt2", "torchscript"]
Objective = Literal["parameters", "latency_ms"]
SamplerName = Literal["mfgp", "tpe", "random", "grid", "gp", "cmaes", "nsga2"]

_WEIGHTS_NAMES = ("pretrained", "untrained")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Settings(BaseModel):
    """Frozen settings that refuse unknown keys."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        validate_default=True,
    )


class SettingGroup(Settings):
    """Settings under one heading of the help."""

    TITLE: ClassVar[str]
    """Heading of the group in the help."""


class SplitSettings(Settings):
    """Fractions of val and test for data without a split, and the role of a split named "eval"."""

    val_fraction: float = Field(0.15, gt=0, lt=0.5)
    """Fraction of each class that is used for validation."""
    test_fraction: float = Field(0.15, gt=0, lt=0.5)
    """Fraction of each class that is held out for the final test."""
    eval_is: Literal["val", "test"] = "val"
    """Role of a split that is named "eval", and of a table's rows that are not `is_train`."""


class AshaSettings(Settings):
    """ASHA (Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning")."""

    grace_epochs: int | float | None = Field(None, gt=0)
    """Epochs that every trial gets before it can be stopped (r in the ASHA paper); unset is one
    round (see --round-images)."""
    reduction_factor: int = Field(3, ge=2)
    """One in this many trials is promoted at each rung (eta in the ASHA paper)."""

    def grace_rounds(self, rounds_per_epoch: int) -> int:
        """Rounds that every trial gets before it can be stopped."""
        return max(1, round((self.grace_epochs or 0) * rounds_per_epoch))


class ExportSettings(Settings):
    """Export of the final model."""

    formats: tuple[Format, ...] = ("timm", "onnx", "pt2")
    """Formats, separated by commas: timm, onnx, pt2, torchscript."""


class DataSettings(SettingGroup):
    """Images, and their split."""

    TITLE = "Data"

    data: Path | str
    """Images: a folder (one for each class, or another layout), a CSV, JSON Lines or Parquet table,
    tar archives, Parquet files with images inside, or a Hugging Face dataset; on a disk, or at an
    address such as s3://BUCKET/PREFIX or hf://OWNER/NAME."""
    layout: str | None = None
    """Layout of a folder that can be read in several ways; finesweep plan names the layouts."""
    ignore: tuple[str, ...] = ()
    """Glob patterns of files and folders to leave out, separated by commas."""
    image_column: str | None = None
    """Column of a table or dataset that holds the images or their paths."""
    label_column: str | None = None
    """Column of a table or dataset that holds the labels."""
    split_column: str | None = None
    """Column of a table that holds the splits."""
    group_column: str | None = None
    """Column of a table or dataset that names the group of an image, such as a patient; the images
    of a group stay in one split."""
    image_root: Path | None = None
    """Folder that the paths in a table are relative to; by default the table's own folder."""
    group_by: str | None = None
    """Regular expression over the path of an image; images with the same match (of the expression's
    first group, if it has one) stay in one split."""
    merge_labels: bool = False
    """Merge labels that differ in case, spaces or leading zeros only."""
    split: SplitSettings = SplitSettings()

    @field_validator("image_root")
    @classmethod
    def _absolute_image_root(cls, root: Path | None) -> Path | None:
        return None if root is None else root.expanduser().absolute()

    @field_validator("group_by")
    @classmethod
    def _group_by_compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"is not a regular expression ({error}); correct it") from None
        return pattern

    @field_validator("data")
    @classmethod
    def _absolute_path_or_address(cls, data: Path | str) -> Path | str:
        """Makes a path absolute; an address stays a string."""
        is_address = isinstance(data, str) and "://" in data
        return data if is_address else Path(data).expanduser().absolute()


class SpaceSettings(SettingGroup):
    """Search space, and the points that are tried first."""

    TITLE = "Space"

    space: str = "default"
    """Search space: the name of a preset, or a TOML file."""
    fix: dict[str, Value] = Field({})
    """Parameters that have one value in all trials, whatever the space allows: NAME=VALUE, such as
    image_size=224 or fit=letterbox. Several are separated by commas, or given one by one; in a TOML
    file they are the table [fix]."""
    points: Path | None = None
    """JSON file with a list of parameter points to try first, in order."""
    prior: tuple[Path, ...] = ()
    """Earlier sweeps, by name or folder, separated by commas; the best points of each sweep are
    tried after those of the points file."""
    starts: bool = True
    """Try the space's starting points after those of points and prior; if the space has none, try
    each backbone as a linear probe, then at its defaults. Points of prior and starts together get
    at most half of the trials that points leaves over."""

    @field_validator("fix", mode="before")
    @classmethod
    def _typed_values(cls, fix: object) -> object:
        """Converts text to the types of the parameters. The space checks names and values."""
        if not isinstance(fix, dict):
            raise ValueError(f"must be a table of parameters, not {fix!r}.")
        for name, value in fix.items():
            if not isinstance(value, float | int | bool | str):
                raise ValueError(f"gives {name} one value, such as {name} = 0, not {value!r}.")
        return {n: value_from_text(v, n) if isinstance(v, str) else v for n, v in fix.items()}

    @field_validator("space")
    @classmethod
    def _absolute_if_a_file(cls, space: str) -> str:
        """Makes a file's path absolute; a preset's name stays as it is."""
        path = Path(space).expanduser()
        return str(path.absolute()) if path.suffix in (".toml", ".json") else space

    @field_validator("points")
    @classmethod
    def _absolute_points(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser().absolute()


class SearchSettings(SettingGroup):
    """Length and objective of the search, and its algorithms."""

    TITLE = "Search"

    trials: int = Field(16, ge=1)
    """Total number of trials, each at one parameter point; if only a budget is given, as many as
    the budget allows."""
    time_budget: float | None = None
    """Time until the final model is exported, such as 90m, 2h or 3600 (seconds): the search ends in
    time for the retraining and the export. Without retraining, the time until the search ends. A
    resume gets it anew."""
    gpu_hours: float | None = Field(None, gt=0)
    """End the search when its trials have used this many GPU hours; a trial on half a GPU uses half
    a GPU hour per hour."""
    target: float | None = None
    """End the search once a trial reaches this value of the metric."""
    metric: Literal["auto", "val_accuracy", "val_balanced_accuracy", "val_macro_f1", "val_loss"] = (
        "auto"
    )
    """Metric by which trials are ranked and stopped; auto is val_accuracy, or val_balanced_accuracy
    if the most frequent class has more than three times the training images of the rarest."""
    objectives: tuple[Objective, ...] = ()
    """Further objectives to minimise, separated by commas: parameters, latency_ms. Early stopping
    and the choice of the winner use the metric alone; the leaderboard adds the Pareto front."""
    sampler: SamplerName = "mfgp"
    """Sampler that proposes points. mfgp is a multi-fidelity Gaussian process over points and
    rounds; the others are Optuna's. grid tries, in random order, the points of a space whose
    parameters are choices or have steps. gp and nsga2 learn only from trials that run to their end:
    use them with stopping none. With objectives, the default is tpe."""
    stopping: Literal["auto", "asha", "hyperband", "median", "freeze-thaw", "none"] = "auto"
    """Rule that stops weak trials early. With freeze-thaw, the sampler mfgp chooses which trials go
    on, and may take stopped ones up again; asha, hyperband (ASHA with several grace periods) and
    median spare trials that mfgp expects could still win. auto is freeze-thaw if the sampler is
    mfgp and a trial has 20 epochs or more, and asha otherwise."""
    asha: AshaSettings = AshaSettings()
    confirm: int | None = Field(None, ge=0)
    """Number of best trials that are repeated twice, with other seeds, before the winner is named.
    If the validation images were drawn at random, repeats are mostly validated on other images. The
    best mean wins. Unset: the trials within a standard error of the best, at most 5, and only as
    many as add a quarter to the search time."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Seed of the split, the sampler and every trial."""

    @field_validator("time_budget", mode="before")
    @classmethod
    def _seconds(cls, value: object) -> object:
        """Seconds of a time such as 90m, 2h or 3600."""
        if value is None:
            return None
        match = re.fullmatch(r"(\d+\.?\d*)\s*([smhd]?)", str(value).strip())
        if match is None or float(match[1]) == 0:
            raise ValueError(f"must be a time such as 90m, 2h or 3600 (seconds), not {value!r}.")
        return float(match[1]) * _SECONDS[match[2]]


class TrainingSettings(SettingGroup):
    """Training of a trial."""

    TITLE = "Training"

    max_epochs: int | None = Field(None, ge=1)
    """Epochs of a trial that is not stopped early; also the length of its learning-rate schedule.
    Unset is 10, or fewer if a time budget is too short for that: a whole trial on each worker and
    its retraining must fit."""
    round_images: int | Literal["auto"] = "auto"
    """Training images of a round. After each round a trial validates, is recorded and may be
    stopped. auto is a whole epoch up to 5,000 training images, and 10 to 20 seconds of training in
    larger sets."""
    val_images: int | Literal["auto"] = "auto"
    """Number of validation images that score a round, each class with its share. auto is all of
    them or, if an epoch has several rounds, about 0.3 for each training image of a round. With
    sensitivity, auto is always all."""
    patience: int | None = Field(None, ge=1)
    """End a trial after this many epochs in a row without a better metric; unset is no limit."""
    folds: int = Field(0, ge=0)
    """Cross-validate every trial over this many folds of the training and validation images, for
    small data; the cost grows with the folds. 0 validates on the validation images alone."""
    weights: str = "pretrained"
    """Initial weights of the backbones: "pretrained", "untrained", or a folder of weight files."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Numerical precision; auto is bfloat16 autocast on GPUs that support it and on CPUs where a
    measurement finds it faster, and float32 elsewhere."""
    views: int = Field(4, ge=1)
    """Number of augmented views of each image in the search; epochs cycle through the views."""

    @field_validator("round_images", "val_images", mode="before")
    @classmethod
    def _auto_or_count(cls, value: object) -> object:
        """Gives one error message for both types of the union."""
        if value == "auto" or (re.fullmatch(r"\d+", str(value)) and int(str(value)) >= 2):
            return value
        raise ValueError(f"must be auto or a number of images, 2 or more, not {value!r}.")

    @field_validator("weights")
    @classmethod
    def _absolute_if_a_folder(cls, weights: str) -> str:
        """Makes a path absolute; "pretrained" and "untrained" stay, even if such folders exist."""
        path = Path(weights).expanduser()
        is_path = path.suffix in (".toml", ".json") or path.is_dir()
        return str(path.absolute()) if is_path and weights not in _WEIGHTS_NAMES else weights


class ResourceSettings(SettingGroup):
    """Machines, their GPUs and CPU cores, and the cache on disk."""

    TITLE = "Resources"

    address: str = "local"
    """Ray cluster: local starts one on this machine, auto finds a running one, HOST:PORT names
    one."""
    concurrent: int | None = Field(None, ge=1)
    """Largest number of trials that run at the same time; unset is as many as fit."""
    gpus_per_trial: float | Literal["auto"] = "auto"
    """Share of a GPU that a trial holds, from 0 to 1; auto derives it from the trial's measured
    peak memory."""
    cpus_per_trial: float | None = Field(None, gt=0)
    """CPU cores of a trial; unset is 1, or, if trials hold GPUs, an even share of the cores."""
    features: Literal["float16", "float32", "off"] = "float16"
    """Data type in which the outputs of frozen layers are stored for later epochs and trials; off
    stores none and computes them every time."""
    cache_dir: Path = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "finesweep"
    """Folder of decoded or compressed images, stored features and converted weights, shared by all
    sweeps."""
    cache_gib: float = Field(50, gt=0)
    """Largest size in GiB of the images and features in cache_dir; the least recently used files
    are removed first."""

    @property
    def cache_bytes(self) -> int:
        """`cache_gib` in bytes."""
        return int(self.cache_gib * 2**30)

    @field_validator("cache_dir")
    @classmethod
    def _absolute_cache_dir(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @field_validator("gpus_per_trial", mode="before")
    @classmethod
    def _auto_or_share(cls, value: object) -> object:
        """Gives one error message for both types of the union."""
        try:
            if value == "auto" or 0 <= float(str(value)) <= 1:
                return value
        except ValueError:
            pass
        raise ValueError(f"must be auto or a share from 0 to 1, not {value!r}.")


class FinalModelSettings(SettingGroup):
    """Composition of the final model, and its export."""

    TITLE = "Final model"

    retrain: bool = True
    """Train the winner on train and val, test it once, and export it."""
    retrain_workers: int = Field(1, ge=1)
    """Workers that retrain a model together, each on a GPU of its own or on its share of the cores.
    A step has a batch for each, and the learning rate grows with it: times the workers with SGD,
    times their square root with other optimizers. For large sets."""
    ensemble: int = Field(1, ge=1)
    """Largest number of trials in the final model: other trials join the winner if they improve its
    validation score, and each of the trials is retrained."""
    calibrate: bool = False
    """Divide each model's logits by the temperature with the least validation loss, so that its
    probabilities are calibrated (temperature scaling)."""
    test_time_flips: Literal["none", "horizontal", "both"] = "none"
    """Average the final model's probabilities over the image and its mirror images: left to right,
    or also top to bottom. Exports do the same, and take two or three times as long. Only for images
    that mean the same when they are mirrored."""
    sensitivity: str = ""
    """CLASS=SHARE, for data of two classes: the class that must not be missed, and the recall that
    it needs. The decision threshold is set to reach this recall on validation images."""
    export: ExportSettings = ExportSettings()

    @field_validator("sensitivity")
    @classmethod
    def _class_and_share(cls, value: str) -> str:
        share = value.rpartition("=")[2]
        if value and not (re.fullmatch(r".+=0?\.\d+|.+=1(\.0*)?", value) and float(share) > 0):
            raise ValueError(f"must be CLASS=SHARE, such as crack=0.95, not {value!r}.")
        return value


class OutputSettings(SettingGroup):
    """Location of the sweep's files, and copies of its results."""

    TITLE = "Output"

    name: str = ""
    """Name of the sweep's folder; unset combines the data's name and the time."""
    results_dir: Path = Path("results")
    """Folder in which the sweep's own folder is made."""
    storage_path: str = ""
    """Object store that keeps a copy of the sweep's folder, such as s3://BUCKET/PREFIX; unset keeps
    no copy."""
    mlflow: str = ""
    """MLflow server or database that shows the sweep and its trials, such as http://HOST:5000 or
    sqlite:///mlflow.db; auto takes it from MLFLOW_TRACKING_URI. The experiment is that of
    MLFLOW_EXPERIMENT_NAME, or Default. Unset sends nothing."""

    @field_validator("mlflow")
    @classmethod
    def _without_password(cls, uri: str) -> str:
        """Refuses a password, which the sweep's files would show; makes a file's path absolute."""
        if re.search(r"://[^/@]*:[^/@]*@", uri):
            raise ValueError(
                "must be an address without a password, because the sweep's files show it; set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or give the whole address "
                "in MLFLOW_TRACKING_URI and set mlflow to auto."
            )
        file = uri.removeprefix("sqlite:///")
        return uri if file in (uri, "") else f"sqlite:///{Path(file).absolute()}"

    @field_validator("results_dir")
    @classmethod
    def _absolute_results_dir(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @field_validator("name")
    @classmethod
    def _default_name(cls, name: str, info: ValidationInfo) -> str:
        """Fills an empty name with the data's name and the time."""
        if name or "data" not in info.data:
            return name
        stem = Path(str(info.data["data"]).partition("?")[0]).stem
        made = f"{stem}-{datetime.now():%Y%m%d-%H%M%S}"
        return re.sub(r"[^A-Za-z0-9._-]", "_", made).lstrip("._-")
