"""Sweeps that several test modules of `search` look at, and a database for MLflow."""

import os
import shutil
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # before a test imports MLflow

import pytest

from search import SweepResult
from search.record import SweepPaths
from tests.support.finalizing import finalize_best_two


@pytest.fixture(scope="session")
def ensemble(sweep: SweepResult, tmp_path_factory: pytest.TempPathFactory) -> SweepPaths:
    """A copy of the sweep whose final model is the mean of its two best trials."""
    return finalize_best_two(sweep.paths, tmp_path_factory.mktemp("sweeps") / "ensemble")


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new database of MLflow, whose tables take seconds to make."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("mlflow") / "empty.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def mlflow(empty_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of a database of MLflow for one test; its sweeps belong to the experiment "test"."""
    from mlflow import MlflowClient

    uri = f"sqlite:///{shutil.copy(empty_mlflow, tmp_path / 'mlflow.db')}"
    MlflowClient(uri).create_experiment("test", artifact_location=str(tmp_path / "artifacts"))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "test")
    return uri
