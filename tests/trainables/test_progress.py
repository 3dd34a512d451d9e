from trainables.progress import Progress, ignore_progress


def test_progress_can_be_ignored() -> None:
    callback: Progress = ignore_progress
    assert callback("reading images", 1, 0) is None
