from search.tuning.retries import ALIKE, MOST, Attempts, Failure

BUG = Failure("ValueError: boom", "", is_exception=True)
OTHER = Failure("KeyError: 'x'", "", is_exception=True)
LOST = Failure("The actor died.", "", is_exception=False)


def test_the_same_exception_twice_is_a_mistake_and_another_one_a_new_try() -> None:
    attempts = Attempts()
    assert attempts.again(0, BUG)
    assert attempts.again(0, OTHER)
    assert not attempts.again(0, BUG)


def test_lost_workers_are_borne_as_long_as_there_is_an_epoch_in_between() -> None:
    attempts = Attempts()
    for _ in range(10):
        assert attempts.again(0, LOST)
        assert attempts.again(0, LOST)
        attempts.went_well(0)
    assert [attempts.again(0, LOST) for _ in range(MOST)] == [True] * (MOST - 1) + [False]


def test_a_sweep_is_hopeless_once_its_first_trials_failed_alike() -> None:
    attempts = Attempts()
    for number in range(ALIKE):
        assert attempts.hopeless is None
        attempts.again(number, BUG)
        attempts.again(number, BUG)
    assert attempts.hopeless == BUG.cause


def test_a_sweep_is_hopeless_also_if_one_trial_failed_otherwise() -> None:
    attempts = Attempts()
    assert attempts.again(9, OTHER)
    assert not attempts.again(9, OTHER)
    for number in range(ALIKE):
        assert attempts.hopeless is None
        attempts.again(number, BUG)
        attempts.again(number, BUG)
    assert attempts.hopeless == BUG.cause


def test_a_sweep_in_which_anything_worked_has_hope() -> None:
    attempts = Attempts()
    for number in range(ALIKE + 2):
        attempts.again(number, BUG)
        attempts.again(number, BUG)
    attempts.went_well(9)
    assert attempts.hopeless is None
