"""Test scores of final models: ensemble, temperature scaling and model soup, against the winner.

    python -m tests.benchmarks.final_models [--seeds 3] [--trials 12]

Runs sweeps on three image sets; every seed draws its own split. Every kind of final model is made
from the same trials.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.special import log_softmax, softmax

from search.final import select_final_model
from search.final.retrain import retrain_member
from search.final.selection import EnsembleMember
from search.ranking import select_winner
from search.record import (
    SweepPaths,
    TrialRecord,
    load_sweep_config,
    read_trials,
    read_validation_logits,
)
from search.trial import TrialJob
from tests.benchmarks.fixed_trials import link_weights
from tests.benchmarks.measuring import ROOT, SCRATCH, fresh, spread, write_table
from trainables.data import Dataset, build_store
from trainables.evaluation import calibration_curve, fold_numbers
from trainables.inference import fit_temperature
from trainables.inputs import FeatureLoader
from trainables.models import Preprocessing, Weights, build_model, find_weights, unsplit
from trainables.training import logits_of, merit

SETS = ("elpv", "foods", "fashion")
WAYS = ("winner", "temperature", "ensemble", "ensemble, temperature", "ensemble, asked or not")
SOUP = "soup of three"
MOST = 4


def search(name: str, seed: int, trials: int, weights: Path, work: Path) -> SweepPaths:
    """Run a sweep without a final model."""
    command = [sys.executable, "-m", "search", "launch", str(ROOT / "data" / name)]
    command += ["--space", "demo", "--name", f"{name}-{seed}", "--seed", str(seed)]
    command += ["--trials", str(trials), "--max-epochs", "6", "--confirm", "0", "--no-retrain"]
    command += ["--fix", "image_size=96", "--weights", str(weights), "--concurrent", "2"]
    command += ["--results-dir", str(work / "results"), "--cache-dir", str(work / "cache")]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return SweepPaths(work / "results" / f"{name}-{seed}")


def soup(job: TrialJob, trials: Sequence[TrialRecord]) -> np.ndarray:
    """Model soup: retrain trials of one architecture, average their weights, predict the test set.

    Returns probabilities, ``(n, classes)``.
    """
    states = [retrain_member(job, EnsembleMember(trial), threads=2).state_dict for trial in trials]
    mean = {
        name: torch.stack([state[name].float() for state in states]).mean(0).to(tensor.dtype)
        for name, tensor in states[0].items()
    }
    params = trials[0].params
    classes = len(job.dataset.classes)
    model = build_model(params, Weights(params.backbone, "none", None), classes)
    model.load_state_dict(mean)
    test = job.test_images(params)
    preprocessing, device = Preprocessing.of(params.backbone), torch.device("cpu")
    inputs = FeatureLoader(test, unsplit(model, params.image_size), preprocessing, device=device)
    return np.asarray(softmax(logits_of(model, inputs), axis=1))


def made_of(paths: SweepPaths) -> dict[str, np.ndarray]:
    """Test probabilities of each kind of final model, and the test labels as "labels"."""
    config = load_sweep_config(paths)
    dataset, trials = Dataset.read(paths.dataset, paths.split), read_trials(paths.journal)
    best = select_winner(trials, config.metric)
    asked = config.model_copy(update={"ensemble": MOST})
    guarded = select_final_model(best, trials, paths, dataset, asked).members
    labels = dataset.labels[dataset.rows("val")]
    answers = read_validation_logits(
        paths.validation_logits, trials, config.metric, dataset, dataset.rows("val")
    )
    ranked = sorted(
        (trial for trial in trials if trial.number in answers),
        key=lambda trial: merit(trial.best(config.metric), config.metric),  # type: ignore[arg-type]
        reverse=True,
    )
    top = [best, *(trial for trial in ranked if trial is not best)][:MOST]
    backbones = {trial.params.backbone for trial in trials}
    p = best.params
    forms = {Preprocessing.of(b).pixel_format(p.image_size, p.fit) for b in backbones}
    job = TrialJob(
        config,
        dataset,
        {form: build_store(dataset, form, cache=config.cache_dir) for form in forms},
        {b: find_weights(b, config.weights, cache=config.cache_dir) for b in backbones},
        on_gpu=False,
    )
    members = {member.trial.number: member.trial for member in guarded} | {t.number: t for t in top}
    probabilities = {
        n: retrain_member(job, EnsembleMember(t), threads=2).probabilities
        for n, t in members.items()
    }
    folds = fold_numbers(labels)
    by = {n: fit_temperature(answers[n], labels, folds) for n in members}
    cooled = {
        n: softmax(np.log(np.maximum(p, 1e-12)) / by[n], axis=1) for n, p in probabilities.items()
    }
    weights = [member.weight for member in guarded]
    numbers = [member.trial.number for member in guarded]
    by_kind = {
        "winner": probabilities[best.number],
        "temperature": cooled[best.number],
        "ensemble": np.average([probabilities[n] for n in numbers], axis=0, weights=weights),
        "ensemble, temperature": np.average([cooled[n] for n in numbers], axis=0, weights=weights),
        "ensemble, asked or not": np.mean([probabilities[trial.number] for trial in top], axis=0),
    }
    like = [t for t in ranked if t.params.backbone == best.params.backbone and t is not best]
    like = [t for t in like if t.params.head_hidden == best.params.head_hidden]
    if len(like) >= 2:
        by_kind[SOUP] = soup(job, [best, *like[:2]])
    print(f"{paths.root.name}: {len(guarded)} members, T {by[best.number]:.2f}", file=sys.stderr)
    return {**by_kind, "labels": dataset.labels[dataset.rows("test")]}


def scored(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """Accuracy, cross-entropy and expected calibration error."""
    losses = -log_softmax(np.log(np.maximum(probabilities, 1e-12)), axis=1)
    right = probabilities.argmax(axis=1) == labels
    loss = losses[np.arange(len(labels)), labels].mean()
    return float(right.mean()), float(loss), calibration_curve(probabilities, labels).error


def main() -> None:
    """Run every image set and seed, and write the table of final models."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=12)
    args = parser.parse_args()
    work, weights = fresh(SCRATCH / "final"), link_weights(3)
    lines = [
        f"Sweeps of {args.trials} trials of 6 epochs at 96 px over the demo space, {args.seeds} "
        f"seeds, each with its own split; ensembles of at most {MOST} trials. Differences in "
        "accuracy (percentage points), loss and expected calibration error from the retrained "
        "winner alone: mean over the seeds (least to most).",
    ]
    for name in SETS:
        gains: dict[str, list[tuple[float, ...]]] = {}
        base: list[tuple[float, ...]] = []
        for seed in range(args.seeds):
            by_kind = made_of(search(name, seed, args.trials, weights, work))
            labels = by_kind.pop("labels")
            alone = scored(by_kind["winner"], labels)
            base.append(alone)
            for way, probabilities in by_kind.items():
                difference = np.subtract(scored(probabilities, labels), alone)
                gains.setdefault(way, []).append(tuple(difference))
                print(name, seed, way, scored(probabilities, labels), file=sys.stderr)
        accuracy, loss, error = (spread(column, 3) for column in zip(*base, strict=True))
        lines += [
            "",
            f"{name}: the winner alone has an accuracy of {accuracy}, a loss of {loss} and a "
            f"calibration error of {error}.",
            "",
            "| final model | accuracy, points | loss | calibration error |",
            "| --- | --- | --- | --- |",
        ]
        for way in [*WAYS[1:], SOUP]:
            if way in gains:
                columns = np.array(gains[way]) * [100, 1, 1]
                cells = [
                    f"{c.mean():+.{digits}f} ({c.min():+.{digits}f} to {c.max():+.{digits}f})"
                    for c, digits in zip(columns.T, (1, 3, 3), strict=True)
                ]
                seeds = "" if len(columns) == args.seeds else f", {len(columns)} seeds"
                lines.append(f"| {way}{seeds} | {' | '.join(cells)} |")
    write_table(
        "final_models",
        "Kinds of final model",
        "python -m tests.benchmarks.final_models",
        lines,
        rounds=False,
    )


if __name__ == "__main__":
    main()
