from search.tuning.retries import MAX_FAILURES, SYSTEMATIC_FAILURES, Failure, Retries

BUG = Failure("ValueError: boom", "", is_exception=True)
OTHER = Failure("KeyError: 'x'", "", is_exception=True)
LOST = Failure("The actor died.", "", is_exception=False)


def test_the_same_exception_twice_is_a_mistake_and_another_one_a_new_try() -> None:
    retries = Retries()
    assert retries.retry(0, BUG)
    assert retries.retry(0, OTHER)
    assert not retries.retry(0, BUG)


def test_lost_workers_are_borne_as_long_as_there_is_an_epoch_in_between() -> None:
    retries = Retries()
    for _ in range(10):
        assert retries.retry(0, LOST)
        assert retries.retry(0, LOST)
        retries.went_well(0)
    assert [retries.retry(0, LOST) for _ in range(MAX_FAILURES)] == [True] * (MAX_FAILURES - 1) + [
        False
    ]


def test_a_sweep_is_hopeless_once_its_first_trials_failed_alike() -> None:
    retries = Retries()
    for number in range(SYSTEMATIC_FAILURES):
        assert retries.systematic_failure is None
        retries.retry(number, BUG)
        retries.retry(number, BUG)
    assert retries.systematic_failure == BUG.cause


def test_a_sweep_is_hopeless_also_if_one_trial_failed_otherwise() -> None:
    retries = Retries()
    assert retries.retry(9, OTHER)
    assert not retries.retry(9, OTHER)
    for number in range(SYSTEMATIC_FAILURES):
        assert retries.systematic_failure is None
        retries.retry(number, BUG)
        retries.retry(number, BUG)
    assert retries.systematic_failure == BUG.cause


def test_a_sweep_in_which_anything_worked_has_hope() -> None:
    retries = Retries()
    for number in range(SYSTEMATIC_FAILURES + 2):
        retries.retry(number, BUG)
        retries.retry(number, BUG)
    retries.went_well(9)
    assert retries.systematic_failure is None
