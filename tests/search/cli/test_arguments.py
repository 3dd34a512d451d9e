from pathlib import Path
from typing import Any

import pytest

from search.cli import commands
from search.cli.parser import parse_arguments
from spaces import ConfigError


def call(monkeypatch: pytest.MonkeyPatch, *argv: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with which a command line calls the function of its command."""
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    monkeypatch.setattr(commands, argv[0], lambda *args, **named: calls.append((args, named)))
    arguments = parse_arguments(list(argv))
    arguments.run(arguments)
    return calls[0]


def test_a_launch_gets_its_settings_and_their_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "c.toml"
    file.write_text("trials = 3\n")
    (config,), named = call(monkeypatch, "launch", "d", "--config", str(file), "--seed", "4")
    assert (config.trials, config.seed, config.data) == (3, 4, Path("d").absolute())
    assert named == {"config_file": file}


def test_plan_gets_the_path_of_the_preview_and_the_json_flag(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, named = call(
        monkeypatch, "plan", "d", "--json", "--augment-preview", "x.png", "--contact-sheet", "y.png"
    )
    assert named == {
        "as_json": True,
        "augment_preview": Path("x.png"),
        "contact_sheet": Path("y.png"),
    }


def test_a_resume_gets_the_settings_that_change(monkeypatch: pytest.MonkeyPatch) -> None:
    args, named = call(monkeypatch, "resume", "s", "--trials", "9", "--results-dir", "r")
    assert args == ("s", Path("r"))
    assert named == {"changes": {"trials": "9"}}
    args, named = call(monkeypatch, "resume", "s", "--data", "moved")
    assert (args, named) == (("s", Path("results")), {"changes": {"data": "moved"}})


def test_a_retraining_gets_a_trial_and_the_settings_that_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    args, named = call(monkeypatch, "retrain", "s", "--trial", "3", "--calibrate")
    assert args == ("s", Path("results"))
    assert named == {"trial": "3", "changes": {"calibrate": True}}


@pytest.mark.parametrize("board", ["tensorboard", "dashboard"])
def test_compare_gets_everything_that_it_has_to_show(
    board: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    args, named = call(monkeypatch, "compare", "a", "b", f"--{board}", "--top", "2")
    assert args == (["a", "b"], Path("results"))
    assert named == {"where": None, "top": 2, "csv": None, "as_json": False, "board": board}


def test_an_export_gets_its_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    _, named = call(monkeypatch, "export", "s", "--formats", "onnx,pt2")
    assert named == {"formats": ["onnx", "pt2"], "out": None}
    _, named = call(monkeypatch, "export", "s", "--out", "x")
    assert named == {"formats": None, "out": Path("x")}


def test_a_prediction_gets_files(monkeypatch: pytest.MonkeyPatch) -> None:
    args, named = call(monkeypatch, "predict", "e", "a.png", "b", "--grad-cam", "g")
    assert args == (Path("e"), [Path("a.png"), Path("b")])
    assert named == {"out": None, "grad_cam": Path("g"), "top": 1}


def test_a_report_gets_its_page(monkeypatch: pytest.MonkeyPatch) -> None:
    args, named = call(monkeypatch, "report", "s", "--out", "x.html")
    assert (args, named) == (("s", Path("results")), {"out": Path("x.html")})


def test_preflight_gets_settings_of_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    (settings,), _ = call(monkeypatch, "preflight", "--address", "auto")
    assert settings == {"address": "auto"}


def test_a_submission_names_its_job_and_gives_a_launch_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = "http://head:8265"
    args, named = call(monkeypatch, "submit", "--address", url, "launch", "d", "--name", "n")
    assert args == (url, ["launch", "d", "--name", "n", "--name", "n"])
    assert named["job_name"].startswith("launch-n-")
    assert (named["config_file"], named["wait"]) == (None, True)
    args, named = call(monkeypatch, "submit", "--address", url, "--no-wait", "resume", "r/s")
    assert args == (url, ["resume", "r/s"])
    assert named["job_name"].startswith("resume-s-")
    assert not named["wait"]


@pytest.mark.parametrize("inner", [[], ["predict", "e", "x.png"]])
def test_only_some_commands_can_be_submitted(inner: list[str]) -> None:
    arguments = parse_arguments(["submit", "--address", "http://head:8265", *inner])
    with pytest.raises(ConfigError, match="submit needs one of launch, resume, preflight, and got"):
        arguments.run(arguments)
