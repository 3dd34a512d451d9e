"""The plan of a sweep: a prepared plan, and the survey of the images."""

import logging
from dataclasses import dataclass, replace

from search.config import WHOLE_EPOCHS, Rounds, SweepConfig, positive_class_index
from search.planning.prepare import PreparedPlan
from spaces import ConfigError
from trainables.data import Dataset, StagedPixels, Survey, survey_images
from trainables.evaluation import fold_numbers
from trainables.progress import Progress, ignore_progress

_log = logging.getLogger("finesweep")

IMBALANCE_THRESHOLD = 3.0
"""Class imbalance above which the metric "auto" is balanced accuracy. Plain accuracy would depend
mostly on the most frequent class."""


@dataclass(frozen=True)
class Plan(PreparedPlan):
    """A prepared plan, and the survey of the images."""

    survey: Survey
    rounds: Rounds = WHOLE_EPOCHS
    """The rounds of an epoch; `complete_plan` leaves them to the launch, which can measure."""

    @property
    def decoded_bytes(self) -> int:
        """Bytes of all images, decoded to every format that trials may need."""
        return len(self.survey.dataset) * sum(form.bytes_per_image for form in self.pixel_formats)


def complete_plan(
    prepared: PreparedPlan,
    progress: Progress = ignore_progress,
    *,
    staged: StagedPixels | None = None,
    recorded: Dataset | None = None,
) -> Plan:
    """Survey the images, and resolve the metric "auto".

    Args:
        prepared: The plan so far.
        progress: Progress callback.
        staged: Receives the pixels of every opened image, for `build_store` to use later.
        recorded: Dataset that the launch of a resumed sweep recorded; see `survey_again`.

    Raises `UserError`.
    """
    config = prepared.config
    if recorded is None:
        survey = _survey(config, staged, progress)
    else:
        survey = survey_again(config, recorded, progress, staged=staged)
    positive_class_index(config, survey.dataset.classes)
    _check_folds(config, survey.dataset)
    if config.metric == "auto":
        is_imbalanced = class_imbalance(survey.dataset) > IMBALANCE_THRESHOLD
        metric = "val_balanced_accuracy" if is_imbalanced else "val_accuracy"
        prepared = replace(prepared, config=config.model_copy(update={"metric": metric}))
    return Plan(**vars(prepared), survey=survey)


def survey_again(
    config: SweepConfig,
    recorded: Dataset,
    progress: Progress = ignore_progress,
    *,
    staged: StagedPixels | None = None,
) -> Survey:
    """Survey the images of a launched sweep, and put them into the ``recorded`` order.

    The images must be the same, but their files may have other names. Raises `UserError`.
    """
    survey = _survey(config, staged, progress)
    _check_classes(config, survey.dataset, recorded)
    if not survey.dataset.has_same_images(recorded):
        raise ConfigError(
            f"The images in {config.data} are not those that the sweep {config.name!r} was "
            "launched with; restore the images of the launch, or launch another sweep."
        )
    if survey.dataset.fingerprint != recorded.fingerprint:
        _log.warning(
            "A launch would now split the images in %s differently; the sweep %r keeps the "
            "splits that it was launched with.",
            config.data,
            config.name,
        )
    return replace(survey, dataset=survey.dataset.reordered_like(recorded))


def _survey(config: SweepConfig, staged: StagedPixels | None, progress: Progress) -> Survey:
    return survey_images(
        config.data,
        cache=config.cache_dir,
        options=config.read_options,
        split=config.split_spec,
        staged=staged,
        progress=progress,
    )


def _check_classes(config: SweepConfig, dataset: Dataset, recorded: Dataset) -> None:
    """Raises `ConfigError` if the classes of a resumed sweep are not the recorded ones."""
    found, expected = set(dataset.classes), set(recorded.classes)
    if found == expected:
        return
    new = ", ".join(name for name in dataset.classes if name not in expected)
    missing = ", ".join(name for name in recorded.classes if name not in found)
    differences = [f"new: {new}"] * bool(new) + [f"missing: {missing}"] * bool(missing)
    raise ConfigError(
        f"The classes in {config.data} are not those that the sweep {config.name!r} was launched "
        f"with ({'; '.join(differences)}); restore the images of the launch, or launch another "
        "sweep."
    )


def _check_folds(config: SweepConfig, dataset: Dataset) -> None:
    """Raises `ConfigError` if a class would be missing from a fold."""
    if not config.folds:
        return
    rows = dataset.rows(*config.validation_splits)
    labels, digests, units = dataset.labels[rows], dataset.digests_at(rows), dataset.units_at(rows)
    numbers = fold_numbers(labels, config.folds, config.seed, digests=digests, units=units)
    fewest = min(len(set(numbers[labels == k].tolist())) for k in range(len(dataset.classes)))
    if config.folds > fewest:
        what = "different" if units == digests else "groups of"
        raise ConfigError(
            f"folds is {config.folds}, but a class has only {fewest} {what} training and "
            f"validation images; give {fewest} folds or fewer."
        )


def class_imbalance(dataset: Dataset) -> float:
    """Training images of the most frequent class, divided by those of the rarest class."""
    counts = dataset.counts("train").values()
    return max(counts) / min(counts)
