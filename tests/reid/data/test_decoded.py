"""Decoded images are written completely or not at all, made again if out of date, and do not change a training."""

import logging
import os
import resource
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from data_cache.base.errors import UserError
from data_cache.base.locks import run_lock
from helpers.places.reid import Place
from helpers.toy.decoded import (
    SIZE,
    assert_same_items,
    description,
    files_in,
    five_rows_per_piece,
    images_of,
    made,
    names_of,
    replace_image,
)
from helpers.toy.vehicles import TINY_HOLDOUT, Toy, assert_same_run, train_toy
from reid.data import decoded, pixel_file
from reid.data.pixel_file import REMEDY, open_pixels
from reid.data.vehicle_images import FileViews
from reid.runs import BEST
from reid.training.train import train


@pytest.fixture(autouse=True)
def several_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    five_rows_per_piece(monkeypatch)


def test_a_replaced_image_is_noticed_and_the_file_made_again(
    own_toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "decoded.safetensors"
    made(own_toy, path)
    image = replace_image(own_toy, 2)
    expected = images_of(own_toy, None)
    assert expected[2][0][1].min() > 250
    with pytest.raises(UserError, match=rf"made with images\..*00-2\.jpg = .*{image.stat().st_size}.*; {REMEDY}"):
        open_pixels(path, description(own_toy))
    capsys.readouterr()
    assert_same_items(images_of(own_toy, made(own_toy, path)), expected)
    assert "00-2.jpg" in capsys.readouterr().err
    content, stat = image.read_bytes(), image.stat()
    image.write_bytes(content[::-1])  # the same size
    os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    with pytest.raises(UserError, match="00-2"):
        open_pixels(path, description(own_toy))


def test_a_file_of_other_images_another_size_or_a_damaged_one_is_made_again(
    own_toy: Toy, toy: Toy, tmp_path: Path
) -> None:
    path = tmp_path / "decoded.safetensors"
    made(toy, path)
    with pytest.raises(UserError, match=r"made with images\..*, this run needs"):
        open_pixels(path, description(own_toy))
    assert_same_items(images_of(own_toy, made(own_toy, path)), images_of(own_toy, None))
    assert made(own_toy, path, size=32).pixels.shape == (12, 32, 32, 3)
    path.write_bytes(path.read_bytes()[:-1])
    assert_same_items(images_of(own_toy, made(own_toy, path)), images_of(own_toy, None))


def test_an_up_to_date_file_is_used_as_it_is(toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "decoded.safetensors"
    made(toy, path)
    assert "32 images decoded at 48 x 48 take 0.00 GB" in capsys.readouterr().err
    before = path.stat()
    with run_lock(tmp_path):  # reading needs no lock
        made(toy, path, workers=2)
    assert path.stat() == before and capsys.readouterr().err == ""


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_image_is_named_and_the_old_file_kept(own_toy: Toy, tmp_path: Path, workers: int) -> None:
    runs = tmp_path / "runs"
    made(own_toy, runs / "decoded.safetensors")
    before = (runs / "decoded.safetensors").read_bytes()
    damaged = own_toy.dataset.root / names_of(own_toy)[7]
    damaged.write_bytes(damaged.read_bytes()[:500])
    for path in (runs / "decoded.safetensors", runs / "other.safetensors"):
        with pytest.raises(UserError, match="damaged image") as caught:
            made(own_toy, path, workers=workers)
        assert str(caught.value).startswith(str(damaged)) and "\n" not in str(caught.value)
    assert files_in(runs) == ["decoded.safetensors"]
    assert (runs / "decoded.safetensors").read_bytes() == before
    damaged.unlink()
    with pytest.raises(UserError, match=r"1 images are missing, first .*\.jpg"):
        made(own_toy, runs / "other.safetensors")


def test_a_small_disk_is_refused_before_decoding(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=32 * SIZE * SIZE * 3)  # enough without the header
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(FileViews, "__call__", lambda *_: pytest.fail("an image was decoded"))
    with pytest.raises(UserError, match=r"take 0\.00 GB, 0\.00 GB are free; free some, choose another --runs"):
        made(toy, tmp_path / "decoded.safetensors")
    assert files_in(tmp_path) == []


def test_too_many_images_are_refused_before_decoding(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_file, "MAX_HEADER", 1000)
    with pytest.raises(UserError, match="32 images are too many for one file"):
        made(toy, tmp_path / "decoded.safetensors")
    assert files_in(tmp_path) == []


@pytest.fixture
def files_limited_to_50_kb() -> Iterator[None]:
    """Make larger writes fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("files_limited_to_50_kb")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_disk_that_fills_up_is_one_error_and_leaves_nothing(toy: Toy, tmp_path: Path, workers: int) -> None:
    with pytest.raises(UserError, match=r"cannot be written \(File too large\); free some space") as caught:
        made(toy, tmp_path / "decoded.safetensors", workers=workers)
    assert "\n" not in str(caught.value) and files_in(tmp_path) == []


def test_a_killed_writer_leaves_no_file_under_the_name(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, read, calls = tmp_path / "decoded.safetensors", FileViews.__call__, []

    def kill_at_the_twelfth(self: FileViews, index: int) -> Any:
        calls.append(index)
        if len(calls) == 12:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(self, index)

    with monkeypatch.context() as patch:
        patch.setattr(FileViews, "__call__", kill_at_the_twelfth)
        process = get_context("fork").Process(target=made, args=(toy, path))
        process.start()
        process.join()
    assert process.exitcode == -signal.SIGKILL
    assert "decoded.safetensors" not in files_in(tmp_path)
    assert_same_items(images_of(toy, made(toy, path)), images_of(toy, None))
    assert files_in(tmp_path) == ["decoded.safetensors"]


def test_a_killed_worker_is_one_error(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileViews, "__call__", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(UserError, match="a process that reads images was killed"):
        made(toy, tmp_path / "decoded.safetensors", workers=1)
    assert files_in(tmp_path) == []


def test_two_runs_do_not_write_it_at_once_and_the_second_uses_what_the_first_has_made(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path, other = tmp_path / "set" / "decoded.safetensors", tmp_path / "other.safetensors"
    made(toy, other)
    caplog.set_level(logging.INFO)
    with ThreadPoolExecutor(1) as second, monkeypatch.context() as patch:
        with run_lock(path.parent):
            patch.setattr(decoded, "make_decoded", lambda *_, **__: pytest.fail("it is made a second time"))
            found = second.submit(made, toy, path)
            while "waiting for another run" not in caplog.text:
                time.sleep(0.01)
            assert not found.done() and str(os.getpid()) in caplog.text
            other.rename(path)
        assert_same_items(images_of(toy, found.result()), images_of(toy, None))


@pytest.mark.usefixtures("tiny_network")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_on_decoded_images_is_the_same_to_the_bit(toy: Toy, tmp_path: Path, workers: int) -> None:
    path, run = tmp_path / "decoded.safetensors", tmp_path / "decoded"
    train_toy(TINY_HOLDOUT, toy, tmp_path / "files")
    train(TINY_HOLDOUT, toy.dataset, toy.parts, run, device="cpu", workers=workers, decoded=path)
    assert_same_run(run, tmp_path / "files")
    path.unlink()
    train(TINY_HOLDOUT, toy.dataset, toy.parts, run, device="cpu", workers=workers, decoded=path)
    assert not path.exists()  # a finished run needs no images


@pytest.mark.usefixtures("tiny_network")
def test_training_and_validation_read_no_image_file(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "decoded.safetensors"
    made(toy, path, TINY_HOLDOUT.image_size)
    monkeypatch.setattr(FileViews, "__call__", lambda *_: pytest.fail("an image was decoded"))
    train(TINY_HOLDOUT, toy.dataset, toy.parts, tmp_path / "run", device="cpu", workers=0, decoded=path)


@pytest.mark.usefixtures("tiny_network")
def test_the_option_of_train_keeps_the_file_beside_the_part_cache(place: Place) -> None:
    best = place.train("--recipe", "pgan_small", "--decoded-cache")
    assert best == place.runs / "folder" / "pgan_small" / BEST
    assert files_in(place.runs / "folder") == ["decoded-64.safetensors", "parts.h5", "pgan_small"]
