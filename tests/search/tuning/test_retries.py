from search.tuning.retries import MAX_FAILURES, SYSTEMATIC_FAILURES, Failure, Retries

BUG = Failure("ValueError: boom", "", is_exception=True)
OTHER = Failure("KeyError: 'x'", "", is_exception=True)
LOST = Failure("The actor died.", "", is_exception=False)


def test_the_same_exception_twice_is_final_and_another_one_is_retried() -> None:
    retries = Retries()
    assert retries.retry(0, BUG)
    assert retries.retry(0, OTHER)
    assert not retries.retry(0, BUG)


def test_lost_workers_are_retried_as_long_as_an_epoch_is_finished_in_between() -> None:
    retries = Retries()
    for _ in range(10):
        assert retries.retry(0, LOST)
        assert retries.retry(0, LOST)
        retries.went_well(0)
    assert [retries.retry(0, LOST) for _ in range(MAX_FAILURES)] == [True] * (MAX_FAILURES - 1) + [
        False
    ]


def test_the_first_trials_failing_alike_is_a_systematic_failure() -> None:
    retries = Retries()
    for number in range(SYSTEMATIC_FAILURES):
        assert retries.systematic_failure is None
        retries.retry(number, BUG)
        retries.retry(number, BUG)
    assert retries.systematic_failure == BUG.cause


def test_failures_that_differ_in_numbers_alone_have_one_cause() -> None:
    def full(number: int) -> Failure:
        said = f"OutOfMemoryError: process {100 + number} has {number}.25 GiB of 79.1 GiB"
        return Failure(said, "", is_exception=True)

    retries = Retries()
    for number in range(SYSTEMATIC_FAILURES):
        assert retries.retry(number, full(2 * number))
        assert not retries.retry(number, full(2 * number + 1))
    assert retries.systematic_failure == full(1).cause


def test_one_different_failure_among_them_is_still_a_systematic_failure() -> None:
    retries = Retries()
    assert retries.retry(9, OTHER)
    assert not retries.retry(9, OTHER)
    for number in range(SYSTEMATIC_FAILURES):
        assert retries.systematic_failure is None
        retries.retry(number, BUG)
        retries.retry(number, BUG)
    assert retries.systematic_failure == BUG.cause


def test_a_sweep_with_any_success_has_no_systematic_failure() -> None:
    retries = Retries()
    for number in range(SYSTEMATIC_FAILURES + 2):
        retries.retry(number, BUG)
        retries.retry(number, BUG)
    retries.went_well(9)
    assert retries.systematic_failure is None
