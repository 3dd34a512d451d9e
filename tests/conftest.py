"""Shared fixtures: scanned digits as images, small timm models, a Ray cluster, a small sweep."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # tests never ask the hub; one says it can't be had

import numpy as np
import pytest
import ray
import torch
from PIL import Image
from pyarrow.fs import S3FileSystem
from ray.cluster_utils import Cluster
from sklearn.datasets import load_digits

from search import Sweep, SweepConfig, SweepResult
from spaces import TrialParams
from trainables.data import Dataset, ImageSet, build_store, survey_images
from trainables.images import PixelFormat
from trainables.models import Weights

torch.set_num_threads(1)

SPACE = """
[backbone]
choices = ["test_efficientnet", "test_vit"]
[image_size]
value = 32
[unfreeze]
low = 0.5
high = 1
default = 1
[learning_rate]
low = 1e-3
high = 1e-2
log = true
[backbone_lr_scale]
value = 1.0
[augment]
low = 0.0
high = 0.2
[batch_size]
value = 16
"""


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per class: 40 scanned zeros, ones and sevens each, 32x32 grey PNGs."""
    root = tmp_path_factory.mktemp("data") / "digits"
    scans = load_digits()
    for digit, name in ((0, "zero"), (1, "one"), (7, "seven")):
        (root / name).mkdir(parents=True)
        for i in np.flatnonzero(scans.target == digit)[:40]:
            pixels = (scans.images[i] * 255 / 16).astype(np.uint8)
            image = Image.fromarray(pixels).resize((32, 32), Image.Resampling.BICUBIC)
            image.save(root / name / f"{i:04d}.png")
    return root


@pytest.fixture(scope="session")
def large_digits(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits, enlarged to 160x160 pixels: files that are larger than JPEGs of 32x32 pixels."""
    root = tmp_path_factory.mktemp("data") / "large_digits"
    for file in digits.glob("*/*.png"):
        target = root / file.relative_to(digits)
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(file).resize((160, 160), Image.Resampling.BICUBIC).save(target)
    return root


@pytest.fixture(scope="session")
def large_dataset(large_digits: Path, cache: Path) -> Dataset:
    """The enlarged digits, split."""
    return survey_images(large_digits, cache=cache).dataset


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache folder of all tests: decoded images, scans, features."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def dataset(digits: Path, cache: Path) -> Dataset:
    """The digits, split."""
    return survey_images(digits, cache=cache).dataset


@pytest.fixture(scope="session")
def train_set(dataset: Dataset, cache: Path) -> ImageSet:
    """Training digits at 32 pixels."""
    store = build_store(dataset, PixelFormat(32, "bicubic"), cache=cache)
    return ImageSet.of(dataset, store, "train")


@pytest.fixture(scope="session")
def val_set(dataset: Dataset, cache: Path) -> ImageSet:
    """Validation digits at 32 pixels."""
    store = build_store(dataset, PixelFormat(32, "bicubic"), cache=cache)
    return ImageSet.of(dataset, store, "val")


@pytest.fixture
def params() -> TrialParams:
    """Parameters of a small trial."""
    return TrialParams(
        backbone="test_efficientnet",
        image_size=32,
        unfreeze=1.0,
        learning_rate=5e-3,
        backbone_lr_scale=1.0,
        batch_size=16,
        augment=0.1,
    )


@pytest.fixture
def untrained() -> Weights:
    """Initial weights of that trial: the backbone is not pretrained."""
    return Weights("test_efficientnet", "none", None)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A head with two CPUs, and a second raylet with one CPU and one logical GPU."""
    args = {"num_cpus": 2, "num_gpus": 0, "include_dashboard": False}
    args |= {"dashboard_port": None}  # Ray leaves the socket open that finds a given port taken
    cluster = Cluster(initialize_head=True, head_node_args=args)
    cluster.add_node(num_cpus=1, num_gpus=1)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="session")
def settings(digits: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings of a small sweep over the digits."""
    folder = tmp_path_factory.mktemp("sweeps")
    (folder / "space.toml").write_text(SPACE)
    (folder / "points.json").write_text(json.dumps([{"label_smoothing": 0.1}]))
    return {
        "data": digits,
        "space": str(folder / "space.toml"),
        "points": folder / "points.json",
        "weights": "untrained",
        "trials": 5,
        "max_epochs": 3,
        "gpus_per_trial": 0,
        "concurrent": 2,
        "results_dir": folder / "results",
        "cache_dir": cache,
    }


@pytest.fixture(scope="session")
def sweep(settings: dict[str, Any], ray_cluster: None) -> SweepResult:
    """The result of that sweep, which is called "digits"; copy its folder before changing it."""
    return Sweep(SweepConfig.parse({**settings, "name": "digits"})).run()


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """Host and port of a server that speaks S3 on this machine."""
    from moto.server import ThreadedMotoServer  # takes a second

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The address of an empty folder in a bucket of this test's own."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name)[:60].strip("-")
    S3FileSystem(
        endpoint_override=endpoint, scheme="http", region="us-east-1", allow_bucket_creation=True
    ).create_dir(name)
    return f"s3://{name}/kept?endpoint_override={endpoint}&scheme=http&region=us-east-1"
