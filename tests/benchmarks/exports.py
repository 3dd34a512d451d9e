"""Check of exports in environments without Finesweep, and speed of `predict`.

    python -m tests.benchmarks.exports results/SWEEP

The sweep needs timm, ONNX and ``.pt2`` exports. Creates three virtual environments, with timm,
onnxruntime or torch; this takes minutes and needs a package registry.
"""

import argparse
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config

from search.record import SweepPaths
from tests.benchmarks.measuring import (
    SCRATCH,
    alternate,
    fresh,
    ratios,
    seconds,
    spread,
    write_table,
)
from trainables.data import Dataset
from trainables.inference import Predictor
from trainables.inference.predictor import BATCH_SIZE

IMAGES = 200
"""Number of test images whose predictions are compared."""
PACED = 1000
"""Number of images on which speed is measured."""

_OPENED = """
import json, sys
from pathlib import Path
import numpy as np
from PIL import Image
export, files, out = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()), sys.argv[3]

def pixels(spec, file):
    image = Image.open(file).convert("RGB")
    method = Image.Resampling[spec["interpolation"].upper()]
    square = np.asarray(image.resize((spec["image_size"],) * 2, method), np.float32) / 255
    return ((square - spec["mean"]) / spec["std"]).transpose(2, 0, 1).astype(np.float32)

def answer(logits_of):
    logits = np.concatenate([logits_of(file) for file in files])
    e = np.exp(logits - logits.max(1, keepdims=True))
    np.save(out, e / e.sum(1, keepdims=True))
"""
_TOOLS = {
    "timm": (
        ("timm",),
        """
        import timm, torch
        from timm.data import create_transform, resolve_model_data_config
        model = timm.create_model(f"local-dir:{export}", pretrained=True).eval()
        transform = create_transform(**resolve_model_data_config(model))
        with torch.inference_mode():
            answer(lambda f: model(transform(Image.open(f).convert("RGB"))[None]).numpy())
        """,
    ),
    "onnxruntime": (
        ("onnxruntime", "pillow"),
        """
        import onnxruntime
        session = onnxruntime.InferenceSession(export / "model.onnx")
        spec = json.loads(session.get_modelmeta().custom_metadata_map["finesweep.json"])
        answer(lambda f: session.run(None, {"images": pixels(spec, f)[None]})[0])
        """,
    ),
    "torch": (
        ("torch", "numpy", "pillow"),
        """
        import torch
        extra = {"finesweep.json": ""}
        model = torch.export.load(export / "model.pt2", extra_files=extra).module()
        spec = json.loads(extra["finesweep.json"])
        with torch.inference_mode():
            answer(lambda f: model(torch.from_numpy(pixels(spec, f))[None]).numpy())
        """,
    ),
}


def opened_by(tool: str, export: Path, files: list[str]) -> tuple[np.ndarray, str]:
    """Predict with an export in a new environment without Finesweep.

    Returns the probabilities ``(n, classes)``, and a description of the installed packages.
    """
    packages, code = _TOOLS[tool]
    home = fresh(SCRATCH / "environments" / tool)
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    python = str(home / "bin" / "python")
    install = [python, "-m", "pip", "install", "-q", *packages]
    subprocess.run(install, check=True, capture_output=True)
    (home / "files.json").write_text(json.dumps(files))
    (home / "open.py").write_text(_OPENED + textwrap.dedent(code))
    run = [python, "-I", str(home / "open.py"), str(export), str(home / "files.json")]
    subprocess.run([*run, str(home / "told.npy")], check=True, capture_output=True)
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format=json"], check=True, capture_output=True
    )
    versions = {package["name"]: package["version"] for package in json.loads(listed.stdout)}
    named = ", ".join(f"{name} {versions[name]}" for name in packages)
    return np.load(home / "told.npy"), f"{named} ({len(versions)} packages in all)"


def plain_loop(export: Path, files: list[Path]) -> None:
    """Classify files in batches with timm alone, as its documentation shows."""
    model = timm.create_model(f"local-dir:{export}", pretrained=True).eval()
    transform = create_transform(**resolve_model_data_config(model))
    with torch.inference_mode():
        for start in range(0, len(files), BATCH_SIZE):
            images = [Image.open(file).convert("RGB") for file in files[start : start + BATCH_SIZE]]
            model(torch.stack([transform(image) for image in images])).softmax(dim=1)


def main() -> None:
    """Compare the predictions of every export, time `predict`, and write the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("sweep", type=Path)
    paths = SweepPaths(parser.parse_args().sweep.absolute())
    dataset = Dataset.read(paths.dataset, paths.split)
    table = pd.read_parquet(paths.predictions).head(IMAGES)
    tested = table.filter(regex=r"^p\.").to_numpy()
    files = [str(dataset.root / path) for path in table["path"]]
    lines = [
        f"{len(files)} test images of {dataset.root.name}: the largest difference in probability "
        "from the sweep's own test predictions, and the number of images with another class.",
        "",
        "| opened with | packages | largest difference | other classes |",
        "| --- | --- | --- | --- |",
    ]
    for tool in _TOOLS:
        probabilities, versions = opened_by(tool, paths.export, files)
        apart = np.abs(probabilities - tested).max()
        others = int((probabilities.argmax(1) != tested.argmax(1)).sum())
        lines.append(f"| {tool} | {versions} | {apart:.1e} | {others} |")
        print(lines[-1], file=sys.stderr)
    every = [dataset.file(row) for row in range(len(dataset))]
    many = [every[k % len(every)] for k in range(PACED)]
    ways = {
        "plain timm loop": lambda: plain_loop(paths.export, many),
        "predict, timm": lambda: Predictor.load(paths.export).predict(many),
        "predict, ONNX": lambda: Predictor.load(paths.export / "model.onnx").predict(many),
    }
    rates_of = alternate({name: lambda run=run: PACED / seconds(run) for name, run in ways.items()})
    lines += [
        "",
        f"Images per second on {PACED} files, including the time to load the model, "
        f"{torch.get_num_threads()} threads.",
        "",
        "| code | images/s | relative to the plain loop |",
        "| --- | --- | --- |",
    ]
    for name, rates in rates_of.items():
        gain = spread(ratios(rates, rates_of["plain timm loop"]), 3)
        lines.append(f"| {name} | {spread(rates, 3)} | {gain} |")
    write_table(
        "exports",
        "Exports without Finesweep, and speed of predict",
        "python -m tests.benchmarks.exports SWEEP",
        lines,
    )


if __name__ == "__main__":
    main()
