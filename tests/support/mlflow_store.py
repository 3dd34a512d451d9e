"""Sweeps in MLflow: folders of small sweeps, and what a database of MLflow has of them."""

from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from search import SweepConfig
from search.record import SweepPaths
from spaces import SearchSpace
from trainables.files import write_json

SPACE = SearchSpace.from_table(
    {"backbone": {"choices": ["a", "b"]}, "unfreeze": {"low": 0, "high": 1}}, name="test"
)


def sweep_of(folder: Path, mlflow: str) -> tuple[SweepConfig, SweepPaths]:
    """Settings and paths of a sweep called "cells", of which only the space is written."""
    given = {"data": "d", "name": "cells", "metric": "val_accuracy", "mlflow": mlflow}
    paths = SweepPaths(folder / "cells")
    paths.root.mkdir()
    write_json(paths.space, SPACE.to_table())
    return SweepConfig.parse({**given, "results_dir": folder}), paths


def runs_at(uri: str) -> tuple[Run, dict[str, Run]]:
    """The only parent run in the experiment "test", and its child runs by name."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("test")
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = {run.info.run_name: run for run in runs if run is not parent}
    assert len(children) == len(runs) - 1, "no trial has two runs"
    for child in children.values():
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    return parent, children


def curve(uri: str, run: Run, metric: str) -> list[tuple[int, float]]:
    """Steps and values of a metric, as often as they were logged."""
    history = MlflowClient(uri).get_metric_history(run.info.run_id, metric)
    return [(point.step, point.value) for point in history]
