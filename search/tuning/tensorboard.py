"""TensorBoard files of a running sweep: curves of each trial, and one HParams table of all trials.

The HParams plugin reads its columns from one experiment record, written once in the root folder.
A cell of the table shows the last value of a tag. So the tag "best/..." has the best value so far.
"""

import time
from collections.abc import Sequence
from typing import Self

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.plugins.hparams import summary_v2 as hp
from torch.utils.tensorboard import SummaryWriter

from search.record import CURVES, Repeat, Status, SweepPaths, trial_name
from spaces import Choices, Range, SearchSpace, TrialParams
from trainables.training import METRICS, RoundReport, best_of


class TensorBoardWriter:
    """A `TrialObserver` that writes curves and HParams into an empty folder. A context manager."""

    def __init__(
        self,
        paths: SweepPaths,
        space: SearchSpace,
        points: Sequence[TrialParams],
        *,
        metric: str,
    ) -> None:
        self._paths = paths
        self._sweep, self._metric = paths.root.name, metric
        self._space = space
        self._columns = [_column(space, points, field) for field in TrialParams.model_fields]
        self._writers: dict[int, SummaryWriter] = {}
        self._best: dict[int, RoundReport | None] = {}

    def __enter__(self) -> Self:
        """Write the columns of the HParams table."""
        tags = [f"best/{self._metric}", *METRICS, "train_loss", "seconds"]
        with SummaryWriter(str(self._paths.tensorboard)) as writer:
            _add(writer, hp.hparams_config_pb(self._columns, [hp.Metric(tag) for tag in tags]))
        return self

    def __exit__(self, *raised: object) -> None:
        for writer in self._writers.values():
            writer.close()

    def begin(self, number: int, params: TrialParams, repeat: Repeat | None = None) -> None:
        """Write the parameters that a trial uses; the cells of the others are empty."""
        name = trial_name(number)
        repeats = trial_name(repeat.of) if repeat else ""
        writer = SummaryWriter(str(self._paths.tensorboard_run(name, params.backbone, repeats)))
        values = params.model_dump(exclude=set(self._space.unused_fields(params)))
        row = f"{self._sweep}/{name}"  # TensorBoard merges rows with the same id
        _add(writer, hp.hparams_pb(values, trial_id=row, start_time_secs=time.time()))
        self._writers[number] = writer

    def report(self, number: int, report: RoundReport) -> None:
        """Write the metrics of a round."""
        values = {tag: getattr(report, tag) for tag in CURVES}
        best = best_of((self._best.get(number), report), self._metric)
        self._best[number] = best
        if best is not None:
            values[f"best/{self._metric}"] = METRICS[self._metric].of(best)
        for tag, value in values.items():
            self._writers[number].add_scalar(tag, value, report.round)
        self._writers[number].flush()

    def pause(self, number: int) -> None:
        """Write nothing: `report` has written the round."""

    def end(self, number: int, status: Status) -> None:
        """Write how a trial ended."""
        code = api_pb2.STATUS_FAILURE if status == "failed" else api_pb2.STATUS_SUCCESS
        ended = plugin_data_pb2.SessionEndInfo(status=code, end_time_secs=time.time())
        data = plugin_data_pb2.HParamsPluginData(session_end_info=ended)
        value = Summary.Value(
            tag=metadata.SESSION_END_INFO_TAG,
            metadata=metadata.create_summary_metadata(data),
            tensor=metadata.NULL_TENSOR,
        )
        with self._writers.pop(number) as writer:
            _add(writer, Summary(value=[value]))


def _add(writer: SummaryWriter, summary: Summary) -> None:
    writer._get_file_writer().add_summary(summary)  # type: ignore[no-untyped-call]


def _column(space: SearchSpace, points: Sequence[TrialParams], field: str) -> hp.HParam:
    """The column of a parameter. Its range covers the space and the initial points."""
    dim = space.open.get(field) or space.dimensions[field]
    values = [*dim.extremes, *(getattr(point, field) for point in points)]
    if isinstance(dim, Choices) and all(isinstance(value, str) for value in values):
        return hp.HParam(field, hp.Discrete(list(dict.fromkeys(values))))
    if isinstance(dim, Range):
        return hp.HParam(field, hp.RealInterval(float(min(values)), float(max(values))))
    return hp.HParam(field)
