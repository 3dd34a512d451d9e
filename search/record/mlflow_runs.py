"""`MlflowRuns`: the runs of a sweep in MLflow, and the requests that complete them.

The parent run is the sweep, and each child run is a trial. All have the tag ``finesweep.sweep``
with the sweep's id, which its folder keeps in ``mlflow.json``. `MlflowRuns.find` searches for this
tag, so that a run is never created twice. The metric ``epoch`` of a child run tells which rounds it
has, so that a round is never logged twice.

Nothing here uses MLflow's global state: its active run, experiment and tracking URI.
"""

import json
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from search.config import SweepConfig
from search.record.final_model import FinalModel
from search.record.paths import SweepPaths
from search.record.trials import CURVES, TrialRecord, trial_name
from spaces import ConfigError
from spaces.errors import first_line
from trainables.files import write_json
from trainables.training import METRICS

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

RunStatus = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
"""MLflow's states of a run."""

_SWEEP, _TRIAL, _STATUS = "finesweep.sweep", "finesweep.trial", "finesweep.status"
_REPEATS, _FINAL_MODEL = "finesweep.repeats", "finesweep.final_model"
_PARENT = "mlflow.parentRunId"
_ROUNDS_PER_REQUEST = 50
"""MLflow accepts 1,000 metrics in one request."""
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
}
"""Variables for MLflow, unless the user has set them: it sends no usage data to its makers, prints
no line for each run, and gives up after ten seconds. By default, it retries for minutes."""


def require_mlflow() -> None:
    """Import MLflow, with settings for a sweep. Raises `ConfigError` if it is not installed."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import mlflow  # noqa: F401
    except ImportError:
        raise ConfigError(
            "--mlflow needs MLflow's client; pip install 'finesweep[mlflow]', or leave mlflow out."
        ) from None


def check_mlflow(config: SweepConfig) -> None:
    """If ``mlflow`` is set, ask for its experiment. Raises `ConfigError` if that fails."""
    if not config.mlflow:
        return
    require_mlflow()
    try:
        _experiment_id(_client(config.mlflow), _experiment_name())
    except ConfigError:
        raise
    except Exception as error:  # of the network, a database, or a plug-in of MLflow
        raise ConfigError(
            f"The mlflow {config.mlflow} can't be used ({reason_of(error)}); check the address and "
            "that the server runs, or leave mlflow out."
        ) from None


def reason_of(error: Exception) -> str:
    """First line of ``error``, or of the network error behind it, without a password."""
    causes: list[BaseException] = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    of_network = [cause for cause in causes if isinstance(cause, OSError)]
    return re.sub(r"://[^/@\s]*@", "://", first_line(of_network[-1] if of_network else error))


@dataclass
class _Child:
    """What MLflow has of a trial."""

    run_id: str
    status: str
    epoch: float
    """Epochs done after the last round that MLflow has."""
    has_params: bool

    @classmethod
    def of(cls, run: "Run") -> Self:
        epoch = run.data.metrics.get("epoch", 0.0)
        return cls(run.info.run_id, run.info.status, epoch, bool(run.data.params))


class MlflowRuns:
    """The parent run of a sweep and the child runs of its trials. Made by `find`."""

    def __init__(
        self, client: "MlflowClient", parent: "Run", children: dict[int, _Child], *, metric: str
    ) -> None:
        self._client = client
        self._parent = parent
        self._children = children
        self._metric = metric

    @classmethod
    def find(cls, uri: str, paths: SweepPaths, *, metric: str) -> Self:
        """The runs of a sweep at ``uri``, the parent run as RUNNING; creates it if need be.

        ``metric`` is the metric that trials are ranked by.
        """
        client = _client(uri)
        identity = _identity(paths)
        experiment = _experiment_id(client, identity["experiment"])
        found = [*_runs_of(client, experiment, identity["sweep"])]
        parents = [run for run in found if _TRIAL not in run.data.tags]
        children = [run for run in found if _TRIAL in run.data.tags]
        if parents:
            client.update_run(parents[0].info.run_id, status="RUNNING")
        else:
            tags = {**_context(), _SWEEP: identity["sweep"]}
            parents = [client.create_run(experiment, tags=tags, run_name=paths.root.name)]
        known = {int(run.data.tags[_TRIAL]): _Child.of(run) for run in children}
        return cls(client, parents[0], known, metric=metric)

    def send(self, trial: TrialRecord, begun: datetime, *, status: RunStatus) -> None:
        """Send what the run of a trial lacks: parameters, rounds, and its ``status``.

        ``begun`` is when the trial began, if it has no run yet.
        """
        from mlflow.entities import Param, RunTag

        client = self._client
        child = self._children.get(trial.number)
        if child is None:
            child = self._children[trial.number] = self._create_child(trial, begun)
        if not child.has_params:
            values = trial.params.model_dump(exclude=set(trial.unused))
            params = [Param(name, str(value)) for name, value in values.items()]
            client.log_batch(child.run_id, params=params)
            child.has_params = True
        new = [i for i, report in enumerate(trial.reports) if report.epoch > child.epoch]
        for start in range(0, len(new), _ROUNDS_PER_REQUEST):
            rounds = new[start : start + _ROUNDS_PER_REQUEST]
            metrics = [metric for i in rounds for metric in self._metrics(trial, i)]
            client.log_batch(child.run_id, metrics=metrics)
            child.epoch = trial.reports[rounds[-1]].epoch
        if status == child.status:
            return
        client.log_batch(child.run_id, tags=[RunTag(_STATUS, trial.status)])
        if status == "RUNNING":
            client.update_run(child.run_id, status=status)
        else:
            ended = trial.ended or datetime.now()
            client.set_terminated(child.run_id, status, _milliseconds(ended))
        child.status = status

    def _create_child(self, trial: TrialRecord, begun: datetime) -> _Child:
        tags = {
            **_context(),
            _PARENT: self._parent.info.run_id,
            _SWEEP: self._parent.data.tags[_SWEEP],
            _TRIAL: trial.trial_id,
            _STATUS: trial.status,
        }
        if trial.repeat:
            tags[_REPEATS] = trial_name(trial.repeat.of)
        run = self._client.create_run(
            self._parent.info.experiment_id,
            start_time=_milliseconds(begun),
            tags=tags,
            run_name=trial.trial_id,
        )
        return _Child.of(run)

    def _metrics(self, trial: TrialRecord, index: int) -> Iterator["Metric"]:
        """Metrics of a round; the step is the number of the round."""
        from mlflow.entities import Metric

        report, now = trial.reports[index], _milliseconds(datetime.now())
        values = {name: getattr(report, name) for name in ("epoch", *CURVES)}
        best = replace(trial, reports=trial.reports[: index + 1]).best(self._metric)
        if best is not None:
            values[f"best/{self._metric}"] = METRICS[self._metric].of(best)
        for name, value in values.items():
            yield Metric(name, value, now, report.round)

    def end(self, status: RunStatus) -> None:
        """End the parent run."""
        self._client.set_terminated(self._parent.info.run_id, status)

    def send_final_model(self, final: FinalModel | None, paths: SweepPaths) -> None:
        """Send the test metrics of the final model, and the files that describe it and the sweep.

        The files keep their folders below the sweep's: ``report.html``, ``retrained/metrics.json``
        and ``export/README.md``, the model card. Those that don't exist are left out.
        """
        from mlflow.entities import Metric, RunTag

        run_id, has = self._parent.info.run_id, self._parent.data.metrics
        if final is not None:
            test, now = _test_metrics(final), _milliseconds(datetime.now())
            new = [Metric(name, value, now, 0) for name, value in test if has.get(name) != value]
            self._client.log_batch(run_id, metrics=new, tags=[RunTag(_FINAL_MODEL, final.name)])
        for file in (paths.report, paths.metrics, paths.model_card):
            folder = file.parent.relative_to(paths.root)
            if file.exists():
                below = None if folder == Path() else folder.as_posix()
                self._client.log_artifact(run_id, str(file), below)


def _client(uri: str) -> "MlflowClient":
    """Client of the server or database at ``uri``; "auto" leaves the choice to MLflow."""
    require_mlflow()
    from mlflow import MlflowClient

    return MlflowClient(None if uri == "auto" else uri)


def _identity(paths: SweepPaths) -> dict[str, str]:
    """Id and experiment of a sweep, chosen before anything is sent: ``mlflow.json``."""
    if not paths.mlflow.exists():
        chosen = {"sweep": secrets.token_hex(8), "experiment": _experiment_name()}
        write_json(paths.mlflow, chosen)
    identity: dict[str, str] = json.loads(paths.mlflow.read_text(encoding="utf-8"))
    return identity


def _experiment_name() -> str:
    """Name of the experiment that a new sweep is logged to."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "Default"


def _experiment_id(client: "MlflowClient", name: str) -> str:
    """Id of the experiment called ``name``, which is created if there is none."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        created: str = client.create_experiment(name)
        return created
    if experiment.lifecycle_stage == "deleted":
        raise ConfigError(
            f"MLflow's experiment {name!r} is deleted; restore it, or set MLFLOW_EXPERIMENT_NAME "
            "to another one."
        )
    known: str = experiment.experiment_id
    return known


def _runs_of(client: "MlflowClient", experiment: str, sweep: str) -> Iterator["Run"]:
    """All runs of a sweep, given by its id, in an experiment, given by its id."""
    token = None
    while True:
        page = client.search_runs([experiment], f"tags.`{_SWEEP}` = '{sweep}'", page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _context() -> dict[str, str]:
    """Tags that MLflow gives to a new run: the user, the program, the commit."""
    from mlflow.tracking.context.registry import resolve_tags

    tags: dict[str, str] = resolve_tags()
    return tags


def _milliseconds(moment: datetime) -> int:
    """A time of the driver's clock, as MLflow wants it."""
    return int(moment.timestamp() * 1000)


def _test_metrics(final: FinalModel) -> Iterator[tuple[str, float]]:
    """Name and value of each metric of the final test."""
    low, high = final.test.accuracy_ci95
    yield from {"test/accuracy_low": low, "test/accuracy_high": high}.items()
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "roc_auc"):
        value = getattr(final.test, name)
        if value is not None:
            yield f"test/{name}", value
