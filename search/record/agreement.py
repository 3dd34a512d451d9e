"""Agreement of an export with the final model of its sweep, and of that model with its test."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax

from search.record.final_model import FinalModel
from search.record.invocation import sweep_command
from search.record.paths import SweepPaths
from spaces import ConfigError, RunError
from trainables.inference import Predictor

_TOLERANCE = 1e-3
"""Largest difference from the trained model that is allowed, in a logit or a probability."""
_COMPARED_INPUTS = 2
"""Number of random inputs on which an export is compared with the final model."""


def logits_agree(exported: np.ndarray, expected: np.ndarray) -> bool:
    """Whether an export has the logits of the model, up to `_TOLERANCE`, absolute and relative.

    Rounding grows with the logits.
    """
    return np.allclose(exported, expected, atol=_TOLERANCE, rtol=_TOLERANCE)


def check_export(export: Path, predictor: Predictor) -> None:
    """Raise `ConfigError` if a sweep's export is not of the sweep's final model.

    ``predictor`` was loaded from ``export``, a folder or a file in it. An export that lies in
    another folder than its sweep's, or whose sweep has no final model, is not checked.
    """
    folder = (export if export.is_dir() else export.parent).absolute()
    paths = SweepPaths(folder.parent)
    if paths.config.exists() and not is_of_final_model(predictor, paths):
        raise ConfigError(
            f"The export {export} is not of {FinalModel.read(paths).name}, the final model of its "
            f"sweep according to {paths.metrics}; write it anew with "
            f"'{sweep_command('export', paths)}', or copy it elsewhere to use it as it is."
        )


def is_of_final_model(predictor: Predictor, paths: SweepPaths) -> bool:
    """Whether an export has the labels, the input, the rule and the logits of the final model.

    The logits are compared on random inputs, because any export can be run, also those of earlier
    versions. True if the sweep keeps no final model to compare with.
    """
    if not (paths.metrics.exists() and paths.final_weights.exists()):
        return True
    final, spec = FinalModel.read(paths), predictor.spec
    params = final.winner.params
    point = final.rates.point if final.rates else None
    expected_spec = (tuple(final.test.classes), params.image_size, params.fit, final.flips, point)
    if (spec.labels, spec.image_size, spec.fit, spec.flips, spec.point) != expected_spec:
        return False
    shape = (_COMPARED_INPUTS, 3, spec.image_size, spec.image_size)
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = final.load(paths, len(spec.labels), exportable=True)(inputs).numpy()
        exported = predictor.forward(inputs)
    return logits_agree(exported, expected)


def compare_with_test(
    logits: np.ndarray, final: FinalModel, classes: Sequence[str], paths: SweepPaths
) -> None:
    """Raise `RunError` if the model no longer gives the probabilities stored when it was tested.

    ``logits`` are the model's logits of the first test images, ``(n, classes)``.
    """
    if not paths.predictions.exists():
        return
    tested = final.predictions(paths, classes).probabilities[: len(logits)]
    difference = float(np.abs(softmax(logits, axis=1) - tested).max())
    if difference > _TOLERANCE:
        raise RunError(
            f"The model in {paths.final_weights} no longer gives the probabilities in "
            f"{paths.predictions}, which were stored when it was tested (difference up to "
            f"{difference:.2g}); run '{sweep_command('retrain', paths)}' to make both anew."
        )
