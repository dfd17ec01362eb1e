"""`in_streams`: results in order, threads shared out, and torch's number of threads restored."""

import threading
from collections.abc import Iterator

import pytest
import torch

from detect.model.detector import MAX_STREAMS, in_streams


@pytest.fixture(autouse=True)
def threads_restored() -> Iterator[None]:
    """Restore torch's number of threads after the test."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2, 3, MAX_STREAMS + 1])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 20])
def test_results_are_in_order_and_the_number_of_threads_is_restored(threads: int, count: int) -> None:
    torch.set_num_threads(threads)
    assert in_streams(lambda piece: piece * piece, range(count)) == [piece * piece for piece in range(count)]
    assert torch.get_num_threads() == threads


def test_streams_share_the_threads() -> None:
    torch.set_num_threads(5)
    both = threading.Barrier(2, timeout=10)

    def own(_: int) -> tuple[int, int]:
        both.wait()  # until two pieces run at the same time
        return threading.get_ident(), torch.get_num_threads()

    (first, own_first), (second, own_second) = in_streams(own, [0, 1])
    assert first != second and own_first == own_second == 2


def test_with_one_thread_everything_runs_in_the_calling_thread() -> None:
    torch.set_num_threads(1)
    assert in_streams(lambda _: threading.get_ident(), [0, 1]) == [threading.get_ident()] * 2


def test_an_exception_passes_and_the_number_of_threads_is_restored() -> None:
    torch.set_num_threads(2)
    with pytest.raises(ZeroDivisionError):
        in_streams(lambda piece: 1 / piece, [1, 0, 2])
    assert torch.get_num_threads() == 2
