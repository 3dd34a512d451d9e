from functools import partial

import pandas as pd
import pytest
from rich.console import Console

from search import words

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


def test_no_trial_yet_makes_an_empty_table(capsys: pytest.CaptureFixture[str]) -> None:
    words.print_table(pd.DataFrame())
    assert capsys.readouterr().out.strip() == ""
