import logging

import pytest

from search.machines import IN_A_ROW, Machines, Node
from search.resources import Resources

GOOD = Node("good", "10.0.0.1", "one", cpus=2, gpus=0)
BAD = Node("bad", "10.0.0.2", "two", cpus=4, gpus=0)
LATE = Node("late", "10.0.0.3", "three", cpus=1, gpus=0)
CUDA = "RuntimeError: CUDA error"


class Cluster(list[Node]):
    """Nodes that come and go."""

    def machines(self, most: int | None = None) -> Machines:
        return Machines(
            Resources(1, True, 0, 2), most=most, look=lambda: list(self), look_seconds=0
        )


@pytest.fixture(autouse=True)
def _loud(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="finesweep")


def test_there_is_room_for_as_many_as_fit_now() -> None:
    cluster = Cluster([GOOD])
    machines = cluster.machines()
    assert machines.room() == 2
    cluster.append(BAD)
    assert machines.room() == 6
    assert cluster.machines(most=3).room() == 3
    cluster.remove(GOOD)
    assert machines.room() == 4


def test_a_cluster_without_machines_is_waited_for_and_told_once(
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
    machines.failed(BAD.ip, 7, CUDA)
    assert machines.to_avoid(7) == ("bad",)
    assert machines.to_avoid(8) == ()
    cluster.remove(GOOD)
    assert machines.to_avoid(7) == ()


def test_a_machine_that_keeps_failing_is_left_out_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    machines = Cluster([GOOD, BAD]).machines()
    for number in range(IN_A_ROW - 1):
        machines.failed(BAD.ip, number, CUDA)
    machines.went_well(BAD.ip)
    for number in range(IN_A_ROW - 1):
        machines.failed(BAD.ip, number, CUDA)
    assert machines.to_avoid() == ()
    machines.failed(BAD.ip, 9, CUDA)
    assert machines.to_avoid() == ("bad",)
    assert machines.room() == 2
    machines.failed(BAD.ip, 10, CUDA)
    (record,) = caplog.records
    assert record.getMessage().startswith("machine two (10.0.0.2) is left out")
    assert CUDA in record.getMessage()


def test_a_trial_that_fails_alike_on_two_machines_is_no_fault_of_theirs() -> None:
    machines = Cluster([GOOD, BAD]).machines()
    for number in range(IN_A_ROW):
        machines.failed(BAD.ip, number, "ValueError: boom")
        machines.failed(GOOD.ip, number, "ValueError: boom")
    assert machines.to_avoid() == ()


def test_the_only_machine_is_never_left_out() -> None:
    machines = Cluster([BAD]).machines()
    for number in range(IN_A_ROW + 1):
        machines.failed(BAD.ip, number, CUDA)
    assert machines.to_avoid() == ()
    assert machines.room() == 4


def test_trials_lost_with_their_machine_are_not_held_against_it() -> None:
    cluster = Cluster([GOOD, BAD])
    machines = cluster.machines()
    cluster.remove(BAD)
    for number in range(IN_A_ROW):
        machines.failed(BAD.ip, number, "The actor died.")
    cluster.append(BAD)
    assert machines.to_avoid() == ()
    assert machines.room() == 6
