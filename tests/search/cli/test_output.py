from functools import partial

import pandas as pd
import pytest
from rich.console import Console

from search.cli import output as words

TABLE = pd.DataFrame(
    {"trial_id": ["0000"], "val_accuracy": ["0.9"], "backbone": ["a" * 30], "dropout": ["0.1"]}
)


@pytest.mark.parametrize(
    ("width", "left_out"), [(100, []), (60, ["dropout"]), (30, ["backbone", "dropout"])]
)
def test_a_table_has_the_columns_that_fit_a_terminal_and_names_the_others(
    width: int,
    left_out: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal = partial(Console, force_terminal=True, color_system=None)
    monkeypatch.setattr(words, "Console", lambda width=width: terminal(width=width))
    words.print_table(TABLE)
    drawn, _, more = capsys.readouterr().out.partition("A wider")
    assert all(len(row) <= width for row in drawn.splitlines())
    assert [name for name in TABLE.columns if name in more] == left_out
    assert [name for name in TABLE.columns if name not in drawn] == left_out


def test_a_file_gets_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    words.print_table(TABLE)
    assert "a" * 30 in capsys.readouterr().out


def test_a_plan_says_what_a_sweep_begins_with() -> None:
    points = [
        {"backbone": backbone, "unfreeze": unfreeze, "dropout": 0.12345678}
        for unfreeze in (0, 0.25)
        for backbone in ("a", "b")
    ]
    plan = {
        "data": "d",
        "kind": "k",
        "counts": {},
        "split": "s",
        "ignored": {},
        "notes": [],
    }
    plan |= {"folds": 0, "bad_images": [], "odd_images": [], "backbones": [], "points": points}
    plan |= {"metric": "val_accuracy", "unevenness": 1.5}
    plan |= {"space": "x", "open": ["backbone", "unfreeze", "dropout"]}
    cost = {"trials": 9, "core_hours": 1, "expected_epochs": 9, "measured_on": "one core"}
    said = words.plan_words(plan | {"cost": cost})
    begins, head, deep = said[said.index("Begins") :].splitlines()[:3]
    assert begins == "Begins with 4 trials"
    assert head == "  a, b: unfreeze 0, dropout 0.1235"
    assert deep == "  a, b: unfreeze 0.25, dropout 0.1235"
    assert "Begins" not in words.plan_words(plan | {"points": [], "cost": cost})


def test_no_trial_yet_makes_an_empty_table(capsys: pytest.CaptureFixture[str]) -> None:
    words.print_table(pd.DataFrame())
    assert capsys.readouterr().out.strip() == ""
