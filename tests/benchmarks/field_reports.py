"""Answers in conditions of real shells, clusters and disks, with the seconds that they take.

    python -m tests.benchmarks.field_reports

Each condition is made for real: sockets, mounts in a namespace, heads of Ray clusters, files. The
command runs in a process of its own. The tests named in the table hold the answers.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import ray
import timm
import torch
from safetensors.torch import load_file, save, save_file

from search.record import SweepPaths
from tests.benchmarks.measuring import ROOT, write_table
from tests.support.gated_hub import gated_hub, refusing_hub
from tests.support.ray_heads import started_head
from tests.support.shapes import draw_shapes
from tests.support.user_mistakes import pictures
from trainables.files import printable

OLD_SWEEP = ROOT / "tests" / "fixtures" / "sweep_0_1"
FULL_DISKS = "mount -t tmpfs -o size=1m none /tmp && mount -t tmpfs -o size=1m none /var/tmp"
SMALL_DISK = "mount -t tmpfs -o size=2m none results"
LONG = "x" * 108
"""Name of a folder whose path is longer than a socket's may be."""
READ_ONLY = "mount --bind results results && mount -o remount,ro,bind results"
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "the-cluster's"}


@contextmanager
def no_more(folder: Path) -> Iterator[None]:
    yield None


@dataclass(frozen=True)
class Condition:
    """A condition, the command that meets it, and the test that holds its answer."""

    name: str
    words: str
    """Arguments of ``finesweep``; {port} is the port that ``made`` yields."""
    test: str
    made: Callable[[Path], AbstractContextManager[int | None]] = no_more
    """Makes the condition in the folder where the command runs, and yields a port or None."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables; in their values, {folder} is that folder, and {port} the port."""
    runner: str = ""
    """Program that runs the command. The row is left out where it is not installed."""
    mounts: str = ""
    """Shell command that mounts what the condition needs, in a namespace of its own."""


@contextmanager
def refused(folder: Path) -> Iterator[int]:
    with socket.create_server(("", 0)) as server:
        port: int = server.getsockname()[1]
    yield port


@contextmanager
def silent(folder: Path) -> Iterator[int]:
    with socket.create_server(("", 0)) as server:
        yield server.getsockname()[1]


@contextmanager
def web(folder: Path) -> Iterator[int]:
    with HTTPServer(("", 0), BaseHTTPRequestHandler) as server:
        server.timeout = 30
        threading.Thread(target=server.handle_request, daemon=True).start()
        yield server.server_port


@contextmanager
def gated(folder: Path) -> Iterator[int]:
    with gated_hub() as port:
        yield port


@contextmanager
def long_folder(folder: Path) -> Iterator[None]:
    (folder / LONG).mkdir()
    yield None


@contextmanager
def large_file(folder: Path) -> Iterator[None]:
    """More than Ray uploads (512 MiB), in the working directory, which Ray uploads under uv."""
    with (folder / "large").open("wb") as file:
        file.truncate(600 * 2**20)
    yield None


@contextmanager
def small_results(folder: Path) -> Iterator[None]:
    (folder / "results").mkdir()
    (folder / "space.toml").write_text(
        'image_size = 32\nbatch_size = 4\nbackbone = "test_efficientnet"\nunfreeze = 1.0\n'
        "[learning_rate]\nlow = 1e-3\nhigh = 1e-2\nlog = true\n"
    )
    yield None


@contextmanager
def stale_address(folder: Path) -> Iterator[int]:
    (folder / "ray").mkdir()
    with refused(folder) as port:
        (folder / "ray" / "ray_current_cluster").write_text(f"127.0.0.1:{port}")
        yield port


@contextmanager
def other_version(folder: Path) -> Iterator[int]:
    with ready_head("2.9.0", {"RAY_AUTH_MODE": "disabled"}) as port:
        yield port


@contextmanager
def head(folder: Path) -> Iterator[int]:
    with ready_head(ray.__version__, {"RAY_AUTH_MODE": "disabled"}) as port:
        yield port


@contextmanager
def head_with_token(folder: Path) -> Iterator[int]:
    with ready_head(ray.__version__, TOKEN) as port:
        yield port


@contextmanager
def ready_head(version: str, environment: Mapping[str, str]) -> Iterator[int]:
    """The port of a cluster's head that answers."""
    before = dict(os.environ)
    os.environ.update(environment)
    with ExitStack() as stack:
        try:
            address, _ = stack.enter_context(started_head(version))
        finally:
            os.environ.clear()
            os.environ.update(before)
        port = int(address.rpartition(":")[2])
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.5)
        time.sleep(10)  # its raylet starts after its address answers
        yield port


@contextmanager
def own_modules(folder: Path) -> Iterator[None]:
    (folder / "spaces").mkdir()
    for name in ("search.py", "trainables.py", "spaces/__init__.py"):
        (folder / name).write_text("raise RuntimeError('the file of the user was imported')\n")
    yield None


@contextmanager
def sweep(folder: Path) -> Iterator[None]:
    paths = SweepPaths(Path(shutil.copytree(OLD_SWEEP, folder / "results" / "shapes")))
    images = draw_shapes(folder / "shapes")
    paths.dataset.write_text(paths.dataset.read_text().replace("/data/shapes", str(images)))
    yield None


@contextmanager
def stale_export(folder: Path) -> Iterator[None]:
    with sweep(folder):
        weights = folder / "results" / "shapes" / "retrained" / "model.safetensors"
        state = {name: tensor * 1.1 for name, tensor in load_file(weights).items()}
        save_file(state, weights)
        yield None


@contextmanager
def other_predictions(folder: Path) -> Iterator[None]:
    with sweep(folder):
        metrics = folder / "results" / "shapes" / "retrained" / "metrics.json"
        values = json.loads(metrics.read_text())
        values["test"]["accuracy"] = 0.9
        metrics.write_text(json.dumps(values))
        yield None


@contextmanager
def moved_images(folder: Path) -> Iterator[None]:
    with sweep(folder):
        shutil.rmtree(folder / "shapes")
        yield None


@contextmanager
def project(folder: Path) -> Iterator[None]:
    """A sweep, in a folder with files of the user's own."""
    with sweep(folder):
        (folder / "README.md").write_text("# My project")
        (folder / "model.safetensors").write_text("mine")
        yield None


@contextmanager
def copied_export(folder: Path) -> Iterator[None]:
    """An export that was put into another folder of its sweep, whose model is another since."""
    with stale_export(folder):
        shapes = folder / "results" / "shapes"
        shutil.copytree(shapes / "export", shapes / "handed-over")
        yield None


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    with sweep(folder):
        (folder / "disk").mkdir()
        yield None


@contextmanager
def refusing(folder: Path) -> Iterator[int]:
    with refusing_hub(500, {}) as port:
        yield port


@contextmanager
def pickled_model(folder: Path) -> Iterator[None]:
    (folder / "w").mkdir()
    torch.save(timm.create_model("test_efficientnet"), folder / "w" / "test_efficientnet.pth")
    yield None


def weights_file(content: bytes) -> Callable[[Path], AbstractContextManager[None]]:
    @contextmanager
    def made(folder: Path) -> Iterator[None]:
        (folder / "w").mkdir()
        (folder / "w" / "test_efficientnet.safetensors").write_bytes(content)
        yield None

    return made


_ADDRESS = "preflight --address 127.0.0.1:{port}"
_WEIGHTS = "plan data --fix backbone=test_efficientnet,image_size=32 --cache-dir cache --weights w"
_PLAN = "plan data --cache-dir cache --space edge --fix backbone="
_FULL_DISK = "mount -t tmpfs -o size=16k none disk; cat /dev/zero >disk/zeros 2>/dev/null; true"
_LATIN_1 = os.fsdecode(b"caf\xe9")
_LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12345\n"

CONDITIONS = [
    Condition("a cluster's port is refused", _ADDRESS, "cluster/test_address.py", refused),
    Condition("a server that says nothing", _ADDRESS, "cluster/test_address.py", silent),
    Condition("a web server in place of Ray", _ADDRESS, "cluster/test_address.py", web),
    Condition(
        "an address of Ray's job server",
        "preflight --address http://127.0.0.1:8265",
        "cluster/test_address.py",
    ),
    Condition(
        "an address of Ray's client server",
        "preflight --address ray://127.0.0.1:10001",
        "cluster/test_address.py",
    ),
    Condition(
        "an unknown host", "preflight --address nobody.invalid:6379", "cluster/test_address.py"
    ),
    Condition(
        "the address of a cluster that has gone",
        "preflight --address auto",
        "cluster/test_address.py",
        stale_address,
        {"RAY_TMPDIR": "{folder}"},
    ),
    Condition(
        "a machine outside the cluster",
        _ADDRESS,
        "cluster/test_connection.py",
        head,
        runner="unshare --pid --fork --mount-proc",
    ),
    Condition("a cluster of Ray 2.9.0", _ADDRESS, "cluster/test_connection.py", other_version),
    Condition(
        "a cluster's token is missing", _ADDRESS, "cluster/test_connection.py", head_with_token
    ),
    Condition(
        "a cluster's token is another",
        _ADDRESS,
        "cluster/test_connection.py",
        head_with_token,
        TOKEN | {"RAY_AUTH_TOKEN": "another"},
    ),
    Condition(
        "full temporary disks",
        "preflight --address local",
        "cluster/test_temporary_folder.py",
        mounts=FULL_DISKS,
    ),
    Condition(
        "TMPDIR of more than 107 bytes",
        "preflight --address local",
        "cluster/test_connection.py",
        long_folder,
        {"TMPDIR": f"{{folder}}/{LONG}"},
    ),
    Condition(
        "`uv run` in a folder of 600 MiB",
        "preflight --address local",
        "cluster/test_connection.py",
        large_file,
        runner="uv run --no-project",
    ),
    Condition(
        "a disk that fills during a sweep",
        "launch data --space space.toml --weights untrained --trials 8 --name shapes "
        "--cache-dir cache",
        "tuning/test_faults.py",
        small_results,
        mounts=SMALL_DISK,
    ),
    Condition(
        "results below a file",
        "launch data --results-dir data/a/0.png/results --space edge --cache-dir cache",
        "cli/test_user_mistakes.py",
    ),
    *(
        Condition(
            f"{command} of a read-only sweep",
            f"{command} shapes",
            "cli/test_parser.py",
            sweep,
            mounts=READ_ONLY,
        )
        for command in ("report", "retrain", "export")
    ),
    Condition(
        "an export of another model than its sweep's",
        "predict results/shapes/export data",
        "record/test_agreement.py",
        stale_export,
    ),
    Condition(
        "predictions of another model than metrics.json",
        "report shapes",
        "record/test_agreement.py",
        other_predictions,
    ),
    Condition(
        "an old export in another folder of its sweep",
        "predict results/shapes/handed-over data",
        "record/test_agreement.py",
        copied_export,
    ),
    Condition(
        "an export to a folder of the user's files",
        "export shapes --out .",
        "final/test_export.py",
        project,
    ),
    *(
        Condition(
            f"a full disk, {words.split()[0]}",
            words,
            test,
            small_disk,
            mounts=_FULL_DISK,
        )
        for words, test in (
            ("export shapes --formats pt2 --out disk", "final/test_export.py"),
            ("report shapes --out disk/report.html", "trainables/test_files.py"),
            ("predict results/shapes/export data --out disk/a.parquet", "trainables/test_files.py"),
            ("compare shapes --csv disk/a.csv", "trainables/test_files.py"),
        )
    ),
    Condition("images that were deleted", "retrain shapes", "test_operations.py", moved_images),
    Condition(
        "results in a folder that is not UTF-8",
        f"launch data --space edge --cache-dir cache --results-dir {_LATIN_1}",
        "planning/test_checks.py",
    ),
    Condition(
        "weights that were cut",
        _WEIGHTS,
        "models/test_weights.py",
        weights_file(save(timm.create_model("test_efficientnet").state_dict())[:-100]),
    ),
    Condition(
        "weights that are a pickled model", _WEIGHTS, "models/test_weights.py", pickled_model
    ),
    Condition("weights that are empty", _WEIGHTS, "models/test_weights.py", weights_file(b"")),
    Condition("weights that Git LFS left", _WEIGHTS, "models/test_weights.py", weights_file(_LFS)),
    Condition(
        "weights that are a web page",
        _WEIGHTS,
        "models/test_weights.py",
        weights_file(b"<!DOCTYPE html><html>"),
    ),
    Condition("a backbone with a typing mistake", f"{_PLAN}resnet5O", "models/test_weights.py"),
    Condition(
        "a gated model",
        f"{_PLAN}resnet18.a1_in1k",
        "models/test_weights.py",
        gated,
        {"HF_ENDPOINT": "http://127.0.0.1:{port}"},
    ),
    Condition("a name of the hub's pages", f"{_PLAN}hf-hub:timm/zzz", "models/test_weights.py"),
    Condition(
        "a backbone without a classifier",
        f"{_PLAN}gemma4_vit_167m_enc",
        "models/test_weights.py",
    ),
    Condition(
        "a hub that fails",
        f"{_PLAN}resnet18.a1_in1k",
        "models/test_weights.py",
        refusing,
        {"HF_ENDPOINT": "http://127.0.0.1:{port}"},
    ),
    Condition(
        "HF_ENDPOINT without https://, for images",
        "plan hf://nobody/nothing --cache-dir cache --space edge --weights untrained",
        "tables/test_huggingface.py",
        environment={"HF_ENDPOINT": "hf-mirror.com"},
    ),
    Condition(
        "HF_ENDPOINT without https://",
        f"{_PLAN}resnet18.a1_in1k",
        "models/test_weights.py",
        environment={"HF_ENDPOINT": "hf-mirror.com"},
    ),
    Condition(
        "HF_HUB_OFFLINE is set",
        f"{_PLAN}resnet18.a1_in1k",
        "models/test_weights.py",
        environment={"HF_HUB_OFFLINE": "1"},
    ),
    Condition(
        "a user's search.py, spaces/ and trainables.py on the path",
        "--version",
        "tests/test_finesweep.py",
        own_modules,
        {"PYTHONPATH": f".{os.pathsep}{ROOT}"},
    ),
]


@dataclass(frozen=True)
class Answer:
    """How a command ended."""

    status: int
    text: str
    seconds: float


def answer(condition: Condition) -> Answer | None:
    """Make a condition, and run its command there; None if this machine has no namespaces."""
    with tempfile.TemporaryDirectory(prefix="field", dir="/var/tmp") as name, ExitStack() as stack:
        folder = Path(name)
        pictures(folder / "data")
        port = stack.enter_context(condition.made(folder))
        words = condition.words.format(port=port).split()
        command = [sys.executable, "-m", "finesweep", *words]
        if condition.runner:
            if not shutil.which(condition.runner.split()[0]):
                return None
            command = [*condition.runner.split(), *command]
        if condition.mounts:
            if os.geteuid() != 0 or not shutil.which("unshare"):
                return None
            script = f'{condition.mounts} && exec "$@"'
            command = ["unshare", "--mount", "sh", "-c", script, "sh", *command]
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_HUB", "RAY_"))}
        own = {"PYTHONPATH": str(ROOT), "HF_HOME": str(folder / "hub"), **condition.environment}
        own = {key: text.format(folder=name, port=port) for key, text in own.items()}
        began = time.monotonic()
        done = subprocess.run(
            command, cwd=folder, env=clean | own, capture_output=True, text=True, check=False
        )
        seconds = time.monotonic() - began
        said = done.stderr or done.stdout
        text = said.replace(f"{folder.resolve()}/", "").replace(f"{folder}/", "").strip()
        text = re.sub(r"\.\d+-[0-9a-f]+\.partial", ".PID.partial", text.replace(str(port), "PORT"))
        return Answer(done.returncode, text, seconds)


def main() -> None:
    """Run all conditions, and write the table."""
    rows = [
        "Standard error is shown; paths are shortened. Seconds include the start of Python and the "
        "imports, and grow with the load. Ports that are taken are in `cli/test_dashboards.py`, "
        "Jupyter and MLflow in tests of their own.",
        "",
        "| condition | `finesweep` | answer | exit status | seconds | test |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for condition in CONDITIONS:
        if (found := answer(condition)) is None:
            continue
        said = re.sub(r"\s*\n\s*", "<br>", found.text).replace("|", "\\|")
        command = printable(condition.words.format(port="PORT"))
        rows.append(
            f"| {condition.name} | `{command}` | {said} | {found.status} | {found.seconds:.1f} | "
            f"`{condition.test}` |"
        )
        print(rows[-1], flush=True)
    title = "Answers in conditions of real shells, clusters and disks"
    write_table(
        "field_reports", title, "python -m tests.benchmarks.field_reports", rows, rounds=False
    )


if __name__ == "__main__":
    main()
