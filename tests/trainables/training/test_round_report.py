from dataclasses import fields

import pytest

from tests.support.round_reports import report
from trainables.training import RoundReport


def test_a_report_is_read_from_a_dictionary_that_may_have_extra_keys() -> None:
    first = report(3, 0.75, is_last=True)
    values = first.to_dict()
    assert set(values) == {field.name for field in fields(RoundReport)}
    assert RoundReport.from_dict({**values, "done": True, "node_ip": "10.0.0.1"}) == first


def test_a_report_of_an_earlier_version_has_one_round_in_each_epoch() -> None:
    values = report(3, 0.75).to_dict()
    del values["round"]
    assert RoundReport.from_dict(values) == report(3, 0.75)


def test_a_dictionary_that_lacks_a_field_is_refused() -> None:
    values = report(1, 0.5).to_dict()
    del values["val_loss"]
    with pytest.raises(KeyError, match="val_loss"):
        RoundReport.from_dict(values)
