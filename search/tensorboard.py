"""TensorBoard: curves and one HParams table of all trials, live, written straight to disk.

The HParams plugin takes its columns from one experiment record: it is written once, in the root.
Its cells show a tag's last value: "best/..." therefore never gets worse.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.plugins.hparams import summary_v2 as hp
from torch.utils.tensorboard import SummaryWriter

from search.study import trial_name
from search.trial import NUMBER, PARAMS
from spaces import Choices, Range, SearchSpace, TrialParams
from trainables.report import METRICS, EpochReport, best_of

_CURVES = ("train_loss", *METRICS, "learning_rate", "seconds", "images_per_second")


class TensorBoardWriter(Callback):
    """Ray Tune callback; its writers are made when first needed, so that it can be pickled."""

    def __init__(
        self, folder: Path, space: SearchSpace, points: Sequence[TrialParams], *, metric: str
    ) -> None:
        self._folder = folder
        self._space = space
        self._points = points
        self._metric = metric
        self._writers: dict[str, SummaryWriter] = {}
        self._best: dict[str, EpochReport | None] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_writers": {}}

    def setup(self, *unused: Any, **info: Any) -> None:
        """Write the table's columns."""
        columns = [_column(self._space, self._points, field) for field in TrialParams.model_fields]
        tags = [f"best/{self._metric}", *METRICS, "train_loss", "seconds"]
        with SummaryWriter(str(self._folder)) as writer:
            _add(writer, hp.hparams_config_pb(columns, [hp.Metric(tag) for tag in tags]))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Write an epoch."""
        report = EpochReport.from_dict(result)
        writer = self._writer(trial)
        values = {tag: getattr(report, tag) for tag in _CURVES}
        best = best_of((self._best.get(trial.trial_id), report), self._metric)
        self._best[trial.trial_id] = best
        if best is not None:
            values[f"best/{self._metric}"] = getattr(best, self._metric)
        for tag, value in values.items():
            writer.add_scalar(tag, value, report.epoch)
        writer.flush()

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """End a trial's record; a diverged one as a failure."""
        failed = bool(trial.last_result and trial.last_result.get("diverged"))
        self._end(trial, failed=failed)

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """End a trial's record as a failure."""
        self._end(trial, failed=True)

    def _writer(self, trial: Trial) -> SummaryWriter:
        if trial.trial_id not in self._writers:
            params: TrialParams = trial.config[PARAMS]
            name = trial_name(trial.config[NUMBER])
            writer = SummaryWriter(str(self._folder / f"{name}-{params.backbone}"))
            values = params.model_dump()
            _add(writer, hp.hparams_pb(values, trial_id=name, start_time_secs=time.time()))
            self._writers[trial.trial_id] = writer
        return self._writers[trial.trial_id]

    def _end(self, trial: Trial, *, failed: bool) -> None:
        status = api_pb2.STATUS_FAILURE if failed else api_pb2.STATUS_SUCCESS
        ended = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
        data = plugin_data_pb2.HParamsPluginData(session_end_info=ended)
        value = Summary.Value(
            tag=metadata.SESSION_END_INFO_TAG,
            metadata=metadata.create_summary_metadata(data),
            tensor=metadata.NULL_TENSOR,
        )
        writer = self._writer(trial)
        _add(writer, Summary(value=[value]))
        writer.close()
        del self._writers[trial.trial_id]


def _add(writer: SummaryWriter, summary: Summary) -> None:
    writer._get_file_writer().add_summary(summary)  # type: ignore[no-untyped-call]


def _column(space: SearchSpace, points: Sequence[TrialParams], field: str) -> hp.HParam:
    """A column whose filter lets every trial through, also points outside the space."""
    dim = space.dimensions[field]
    values = [*dim.extremes, *(getattr(point, field) for point in points)]
    if isinstance(dim, Choices) and all(isinstance(value, str) for value in values):
        return hp.HParam(field, hp.Discrete(list(dict.fromkeys(values))))
    if isinstance(dim, Range):
        return hp.HParam(field, hp.RealInterval(float(min(values)), float(max(values))))
    return hp.HParam(field)
