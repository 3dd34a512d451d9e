from collections.abc import Iterator

import cv2
import pytest
import torch

from trainables.process import configure_process, single_torch_thread


@pytest.fixture(autouse=True)
def restored_threads() -> Iterator[None]:
    before = torch.get_num_threads(), cv2.getNumThreads()
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


def test_torch_and_opencv_get_the_threads_of_the_process() -> None:
    configure_process(threads=2)
    assert torch.get_num_threads() == 2
    assert cv2.getNumThreads() == 2


def test_a_single_thread_is_used_in_the_context_and_the_old_number_after_it() -> None:
    torch.set_num_threads(2)
    with single_torch_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    with pytest.raises(ValueError, match="inside"), single_torch_thread():
        raise ValueError("inside")
    assert torch.get_num_threads() == 2
