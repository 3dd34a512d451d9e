"""What a launch understood, before anything is trained."""

from dataclasses import dataclass, replace

import numpy as np

from search.config import SweepConfig, positive_class
from search.planning.prepare import Draft
from spaces import ConfigError
from trainables.data import Dataset, Staged, Survey, survey_images
from trainables.progress import Progress, no_progress

UNEVEN = 3.0
"""Where a class has more than so many times the training images of another, accuracy would be the
frequent one's."""


@dataclass(frozen=True)
class Plan(Draft):
    """Everything that is settled before a sweep: a draft, and the images."""

    survey: Survey


def make_plan(
    draft: Draft,
    progress: Progress = no_progress,
    *,
    staged: Staged | None = None,
    recorded: Dataset | None = None,
) -> Plan:
    """Survey the images, and put them into ``staged`` as they are opened.

    Of a launched sweep they have to be those that were ``recorded``, and stand in that order,
    whatever their files are called now. Raises `UserError`.
    """
    config = draft.config
    surveyed = survey_images(
        config.data,
        cache=config.cache_dir,
        val_fraction=config.split.val_fraction,
        test_fraction=config.split.test_fraction,
        seed=config.seed,
        eval_is=config.split.eval_is,
        forms=draft.forms,
        staged=staged,
        progress=progress,
    )
    if recorded is not None:
        _check_classes(config, surveyed.dataset, recorded)
        if surveyed.dataset.fingerprint != recorded.fingerprint:
            raise ConfigError(
                f"The images in {config.data} are not those that the sweep {config.name!r} was "
                "launched with; bring them back, or launch another."
            )
        surveyed = replace(surveyed, dataset=surveyed.dataset.in_order_of(recorded))
    positive_class(config, surveyed.dataset.classes)
    _check_folds(config, surveyed.dataset)
    if config.metric == "auto":
        uneven = unevenness(surveyed.dataset) > UNEVEN
        metric = "val_balanced_accuracy" if uneven else "val_accuracy"
        draft = replace(draft, config=config.model_copy(update={"metric": metric}))
    return Plan(**vars(draft), survey=surveyed)


def _check_classes(config: SweepConfig, dataset: Dataset, recorded: Dataset) -> None:
    """Raises `ConfigError` if the images show other classes than those of the recorded sweep."""
    now, then = set(dataset.classes), set(recorded.classes)
    if now == then:
        return
    new = ", ".join(name for name in dataset.classes if name not in then)
    gone = ", ".join(name for name in recorded.classes if name not in now)
    differ = "; ".join([*[f"new: {new}"] * bool(new), *[f"missing: {gone}"] * bool(gone)])
    raise ConfigError(
        f"The classes in {config.data} are not those that the sweep {config.name!r} was launched "
        f"with ({differ}); bring them back, or launch another."
    )


def _check_folds(config: SweepConfig, dataset: Dataset) -> None:
    """Raises `ConfigError` if a class has too few images for some in every fold."""
    labels = dataset.labels[dataset.rows(*config.validated)].tolist()
    different = dict(zip(dataset.digests_of(*config.validated), labels, strict=True))
    rarest = int(np.bincount(list(different.values()), minlength=len(dataset.classes)).min())
    if config.folds > rarest:
        raise ConfigError(
            f"folds is {config.folds}, but a class has {rarest} different training and validation "
            "images; give so many folds or fewer."
        )


def unevenness(dataset: Dataset) -> float:
    """How many times the training images of the rarest class the most frequent one has."""
    counts = dataset.counts("train").values()
    return max(counts) / min(counts)
