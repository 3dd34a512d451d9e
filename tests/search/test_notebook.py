"""Sweeps in a real Jupyter kernel."""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

CELLS = [
    """
from search import Sweep, SweepConfig
from search.record import SweepPaths

def launch(name, **changes):
    return Sweep(SweepConfig.parse({**settings, "name": name, **changes})).run()
""",
    'print("before")\nfirst = launch("first")\nprint(first.unfinished, first.final)',
    "again = Sweep.existing(first.paths).resume()\nprint(again.unfinished, *again.trials.epochs)",
    'launch("second", trials=1, max_epochs=15, sampler="tpe", retrain=True)',
    """
second = Sweep.existing(SweepPaths(first.paths.root.parent / "second")).resume()
print(second.unfinished, second.final.name, second.export.name, second.report.name)
""",
]


@pytest.mark.slow
def test_a_kernel_shows_progress_and_goes_on_after_interrupts(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    values = {**settings, "results_dir": tmp_path, "points": None, "trials": 2, "max_epochs": 30}
    values |= {"stopping": "none", "retrain": False, "export": {"formats": ["timm"]}}
    given = json.dumps(values, default=str)
    setup = f"import json\nsettings = json.loads({given!r})\n{CELLS[0]}"
    notebook = new_notebook(cells=[new_code_cell(code) for code in [setup, *CELLS[1:]]])
    client = NotebookClient(notebook, timeout=500)
    with client.setup_kernel(), ThreadPoolExecutor(1) as pool:
        client.execute_cell(notebook.cells[0], 0)
        interrupted = pool.submit(_interrupt_when, " epoch 1: ", client, tmp_path / "first")
        client.execute_cell(notebook.cells[1], 1)
        interrupted.result()
        kernel = psutil.Process(client.km.provisioner.pid)
        _wait_for_trials_to_end(kernel)
        client.execute_cell(notebook.cells[2], 2)
        retraining = "retraining trial 0000, epoch 1 of "
        interrupted = pool.submit(_interrupt_when, retraining, client, tmp_path / "second")
        with pytest.raises(CellExecutionError, match="KeyboardInterrupt"):
            client.execute_cell(notebook.cells[3], 3)
        assert time.monotonic() - interrupted.result() < 10
        _wait_for_trials_to_end(kernel)
        assert not (tmp_path / "second" / "retrained").exists()
        client.execute_cell(notebook.cells[4], 4)
        processes = kernel.children(recursive=True)
    assert psutil.wait_procs(processes, timeout=30)[1] == []

    printed, errors, tables = _outputs(notebook.cells[1])
    assert printed == "before\n2 None\n"
    assert "checking the space, the weights and the models ...\n" in errors
    (table,) = tables
    assert "0 of 2 trials done; 0 running, 2 waiting" in table
    assert "val_accuracy" in table
    printed, _, tables = _outputs(notebook.cells[2])
    assert printed == "0 30 30\n"
    assert ["2 of 2 trials done" in table for table in tables] == [True]
    printed, _, tables = _outputs(notebook.cells[3])
    assert printed == ""
    assert ["1 of 1 trials done" in table for table in tables] == [True]
    printed, _, _ = _outputs(notebook.cells[4])
    assert printed == "0 trial 0000 export report.html\n"


def _interrupt_when(logged: str, client: NotebookClient, sweep: Path) -> float:
    """Interrupt the kernel when a sweep has logged this; the time of `time.monotonic` then."""
    log = sweep / "sweep.log"
    while not (log.exists() and logged in log.read_text()):
        time.sleep(0.05)
    asyncio.run(client.km.interrupt_kernel())
    return time.monotonic()


def _wait_for_trials_to_end(kernel: psutil.Process) -> None:
    """Wait until no worker of the kernel's Ray has a trial."""
    began = time.monotonic()
    while trials := [p for p in kernel.children(recursive=True) if _title(p) not in _IDLE]:
        assert time.monotonic() - began < 30, trials
        time.sleep(0.2)


def _title(process: psutil.Process) -> str:
    """Title of a worker's process; "" for another process."""
    try:
        title = " ".join(process.cmdline()).strip()
    except psutil.NoSuchProcess:
        return ""
    return title if title.startswith("ray::") else ""


_IDLE = {"", "ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent"}


def _outputs(cell: Any) -> tuple[str, str, list[str]]:
    """A cell's standard output, its standard error, and the tables that it shows."""
    streams = {"stdout": "", "stderr": ""}
    tables = []
    for output in cell.outputs:
        if output.output_type == "stream":
            streams[output.name] += output.text
        elif output.output_type == "display_data":
            tables.append(output.data["text/html"])
    return streams["stdout"], streams["stderr"], tables
