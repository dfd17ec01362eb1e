"""Pieces side by side: the same answers in the same order, and torch's threads as they were."""

import threading
from collections.abc import Iterator

import pytest
import torch

from detect.model.detector import MOST_STREAMS, in_streams


@pytest.fixture(autouse=True)
def threads_stay() -> Iterator[None]:
    """Whatever a test does, torch has as many threads after it as before."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2, 3, MOST_STREAMS + 1])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 20])
def test_answers_come_in_the_order_of_the_pieces_and_the_threads_are_as_before(threads: int, count: int) -> None:
    torch.set_num_threads(threads)
    assert in_streams(lambda piece: piece * piece, range(count)) == [piece * piece for piece in range(count)]
    assert torch.get_num_threads() == threads


def test_every_stream_has_its_share_of_the_threads() -> None:
    torch.set_num_threads(5)
    both = threading.Barrier(2, timeout=10)

    def own(_: int) -> tuple[int, int]:
        both.wait()  # two pieces are at work at the same time
        return threading.get_ident(), torch.get_num_threads()

    (first, own_first), (second, own_second) = in_streams(own, [0, 1])
    assert first != second and own_first == own_second == 2


def test_one_thread_stays_in_the_calling_one() -> None:
    torch.set_num_threads(1)
    assert in_streams(lambda _: threading.get_ident(), [0, 1]) == [threading.get_ident()] * 2


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_goes_through_and_the_threads_are_as_before(threads: int) -> None:
    torch.set_num_threads(threads)
    with pytest.raises(ZeroDivisionError):
        in_streams(lambda piece: 1 / piece, [1, 0, 2])
    assert torch.get_num_threads() == threads
