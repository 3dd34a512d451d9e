import logging
from typing import Any

import pytest

from search.cluster import Node
from search.tuning import Resources
from search.tuning.placement import FAILURES_IN_A_ROW, Placement

GOOD = Node("good", "10.0.0.1", "one", cpus=2, gpus=0)
BAD = Node("bad", "10.0.0.2", "two", cpus=4, gpus=0)
LATE = Node("late", "10.0.0.3", "three", cpus=1, gpus=0)
CUDA = "RuntimeError: CUDA error"


class Cluster(list[Node]):
    """Nodes that come and go."""

    def machines(self, **given: Any) -> Placement:
        resources = Resources(1, True, 0, 2)
        return Placement(resources, look=lambda: list(self), look_seconds=0, **given)


@pytest.fixture(autouse=True)
def _loud(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="finesweep")


def test_there_is_room_for_as_many_trials_as_fit_now() -> None:
    cluster = Cluster([GOOD])
    machines = cluster.machines()
    assert machines.room() == 2
    cluster.append(BAD)
    assert machines.room() == 6
    assert cluster.machines(most=3).room() == 3
    cluster.remove(GOOD)
    assert machines.room() == 4


def test_a_machine_that_joined_since_the_preflight_is_examined(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = Cluster([GOOD, BAD, LATE])
    found = {"bad": "torch 1.0 instead of 2.11", "late": ""}
    machines = cluster.machines(examined=["good"], examine=lambda node: lambda: found[node.id])
    assert machines.room() == GOOD.cpus + LATE.cpus
    assert "machine two (10.0.0.2) is left out: torch 1.0 instead" in caplog.text


def test_a_search_without_machines_waits_and_reports_it_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = Cluster([GOOD])
    machines = cluster.machines()
    cluster.clear()
    assert [machines.room() for _ in range(3)] == [0, 0, 0]
    cluster.append(LATE)
    assert machines.room() == 1
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "the sweep waits for one" in said[0]
    assert "goes on" in said[1]


def test_a_failed_trial_is_tried_on_another_machine_if_there_is_one() -> None:
    cluster = Cluster([GOOD, BAD])
    machines = cluster.machines()
    machines.hand_out(7)
    assert not machines.failed(BAD.ip, 7, CUDA), "it may be the machine"
    assert machines.hand_out(7) == ("bad",)
    assert machines.hand_out(8) == ()
    cluster.remove(GOOD)
    assert machines.hand_out(7) == ()


def test_a_failed_trial_is_moved_even_if_others_succeed_on_that_machine() -> None:
    machines = Cluster([GOOD, BAD]).machines()
    machines.hand_out(7)
    assert not machines.failed(BAD.ip, 7, "ValueError: boom")
    for node in (GOOD, BAD):
        machines.went_well(node.ip, 99)
    assert machines.hand_out(7) == ("bad",)
    assert machines.failed(GOOD.ip, 7, "ValueError: boom"), "it fails alike on two sound machines"


def test_a_trials_failures_are_forgotten_once_it_succeeds() -> None:
    machines = Cluster([GOOD, BAD]).machines()
    fail(machines, GOOD, 7, cause="preempted")
    machines.went_well(BAD.ip, 7)
    assert not machines.failed(BAD.ip, 7, CUDA), "there is another to try"
    assert machines.hand_out(7) == ("bad",)


def fail(machines: Placement, node: Node, *numbers: int, cause: str = CUDA) -> None:
    """Trials that begin on a machine and fail there, one after another."""
    for number in numbers:
        machines.hand_out(number)
        machines.failed(node.ip, number, cause)


def test_a_machine_that_keeps_failing_is_left_out_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    machines = Cluster([GOOD, BAD]).machines()
    fail(machines, BAD, 0, 1)
    machines.went_well(BAD.ip, 99)
    fail(machines, BAD, 2, 3)
    assert machines.hand_out(9) == ()
    fail(machines, BAD, 4)
    assert machines.hand_out(9) == machines.excluded_nodes == ("bad",)
    assert machines.room() == 2
    fail(machines, BAD, 5)
    (record,) = caplog.records
    assert record.getMessage().startswith("machine two (10.0.0.2) is left out: the last 3 trials")
    assert CUDA in record.getMessage()


def test_trials_that_fail_at_once_are_one_failure_of_their_machine() -> None:
    machines = Cluster([GOOD, BAD]).machines()
    for number in range(8):
        machines.hand_out(number)
    for number in range(8):
        machines.failed(BAD.ip, number, CUDA)
    assert machines.hand_out(9) == ()


def test_a_trial_that_fails_alike_on_a_sound_machine_is_not_the_machines_fault() -> None:
    machines = Cluster([GOOD, BAD]).machines()
    for number in range(FAILURES_IN_A_ROW):
        machines.went_well(GOOD.ip, 99)
        fail(machines, BAD, number, cause="ValueError: boom")
        machines.hand_out(number)
        assert machines.failed(GOOD.ip, number, "ValueError: boom")
    assert machines.hand_out(9) == ()


def test_a_failure_on_one_bad_machine_does_not_clear_another() -> None:
    machines = Cluster([GOOD, BAD, LATE]).machines()
    for number in range(FAILURES_IN_A_ROW):
        fail(machines, BAD, number)
        machines.hand_out(number)
        assert not machines.failed(LATE.ip, number, CUDA), "there is a third to try"
    assert machines.hand_out(9) == ("bad", "late")


def test_the_only_machine_is_never_left_out() -> None:
    machines = Cluster([BAD]).machines()
    machines.hand_out(0)
    assert machines.failed(BAD.ip, 0, CUDA), "there is no other to try"
    fail(machines, BAD, 1, 2, 3, 4)
    assert machines.hand_out(9) == ()
    assert machines.room() == 4


def test_trials_lost_with_their_machine_are_not_held_against_it() -> None:
    cluster = Cluster([GOOD, BAD])
    machines = cluster.machines()
    cluster.remove(BAD)
    fail(machines, BAD, 0, 1, 2, cause="The actor died.")
    cluster.append(BAD)
    assert machines.hand_out(9) == ()
    assert machines.room() == 6


def test_a_trial_whose_machines_have_all_left_is_stranded() -> None:
    cluster = Cluster([GOOD, BAD])
    machines = cluster.machines()
    fail(machines, BAD, 7)
    avoided = machines.hand_out(7)
    assert not machines.is_stranded(avoided)
    cluster.remove(GOOD)
    assert machines.is_stranded(avoided)
    assert machines.hand_out(7) == (), "begun anew, it runs where it can"
    cluster.clear()
    assert not machines.is_stranded(avoided), "nothing runs anywhere: it is waited for"


def test_a_machine_that_joins_is_used_once_its_examination_matches_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster, answers = Cluster([GOOD]), {"late": None, "bad": None}
    machines = cluster.machines(examine=lambda node: lambda: answers[node.id])
    cluster += [LATE, BAD]
    assert machines.room() == 2
    assert machines.hand_out(0) == ("bad", "late")
    answers["late"] = ""
    assert machines.room() == 3
    answers["bad"] = "two has torch 1.0 instead of 2.0"
    assert machines.room() == 3
    assert machines.hand_out(1) == ("bad",)
    said = [record.getMessage() for record in caplog.records]
    assert said == ["machine two (10.0.0.2) is left out: two has torch 1.0 instead of 2.0"]
    cluster.remove(GOOD)
    cluster.remove(LATE)
    assert machines.room() == 0, "rather none than that one"
