"""Decoded images are made whole or not at all, again when not true, and change nothing in training but the time."""

import os
import resource
import shutil
import signal
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli import main
from data_cache.base.errors import UserError
from data_cache.base.locks import run_lock
from data_cache.parts.cache import write_parts
from helpers.toy.decoded import (
    REMEDY,
    SIZE,
    assert_same_items,
    few_rows,
    files_in,
    items,
    made,
    names_of,
    needed,
    repaint,
)
from helpers.toy.vehicles import HELD, TINY_OPTIONS, Toy, assert_same_run, train_toy
from reid.data import decoded
from reid.data.decoded import open_decoded
from reid.data.vehicle_images import ResizedFiles
from reid.runs import BEST
from reid.training.train import train


@pytest.fixture(autouse=True)
def several_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    few_rows(monkeypatch)


def test_a_replaced_image_is_seen_and_all_is_made_again(
    own_toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "decoded.safetensors"
    made(own_toy, path)
    image = repaint(own_toy, 2)
    wanted = items(own_toy, None)
    assert wanted[2][0][1].min() > 250
    with pytest.raises(UserError, match=rf"made with images\..*00-2\.jpg = .*{image.stat().st_size}.*; {REMEDY}"):
        open_decoded(path, needed(own_toy))
    capsys.readouterr()
    assert_same_items(items(own_toy, made(own_toy, path)), wanted)
    assert "00-2.jpg" in capsys.readouterr().err
    content, stat = image.read_bytes(), image.stat()
    image.write_bytes(content[::-1])  # of the same size
    os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    with pytest.raises(UserError, match="00-2"):
        open_decoded(path, needed(own_toy))


def test_other_names_or_another_size_are_made_again(own_toy: Toy, toy: Toy, tmp_path: Path) -> None:
    path = tmp_path / "decoded.safetensors"
    kept = made(toy, path)
    with pytest.raises(UserError, match=r"made with images\..*, this run needs"):
        open_decoded(path, needed(own_toy))
    with pytest.raises(UserError, match=rf"1 images are not in it, first other\.jpg; {REMEDY}"):
        kept.of([names_of(toy)[0], "other.jpg"])
    assert_same_items(items(own_toy, made(own_toy, path)), items(own_toy, None))
    assert made(own_toy, path, size=32).pixels.shape == (12, 32, 32, 3)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_image_is_named_and_nothing_is_left(own_toy: Toy, tmp_path: Path, workers: int) -> None:
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
    assert (runs / "decoded.safetensors").read_bytes() == before  # as it was, should the image come back
    damaged.unlink()
    with pytest.raises(UserError, match=r"1 images are missing, first .*\.jpg"):
        made(own_toy, runs / "other.safetensors")


def test_too_little_disk_is_told_before_the_work(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=32 * SIZE * SIZE * 3)  # the pixels alone would fit
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(ResizedFiles, "__call__", lambda *_: pytest.fail("an image was decoded"))
    with pytest.raises(UserError, match=r"take 0\.00 GB, 0\.00 GB are free; free some, choose another --runs"):
        made(toy, tmp_path / "decoded.safetensors")
    assert files_in(tmp_path) == []


@pytest.fixture
def files_end_at_50_kb() -> Iterator[None]:
    """The system refuses to write further, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("files_end_at_50_kb")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_disk_that_fills_up_is_one_line_and_nothing_is_left(toy: Toy, tmp_path: Path, workers: int) -> None:
    with pytest.raises(UserError, match=r"cannot be written \(File too large\); free some space") as caught:
        made(toy, tmp_path / "decoded.safetensors", workers=workers)
    assert "\n" not in str(caught.value) and files_in(tmp_path) == []


def test_a_killed_making_leaves_nothing_under_the_name(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, read, calls = tmp_path / "decoded.safetensors", ResizedFiles.__call__, []

    def killing(self: ResizedFiles, index: int) -> Any:
        calls.append(index)
        if len(calls) == 12:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(self, index)

    with monkeypatch.context() as patch:
        patch.setattr(ResizedFiles, "__call__", killing)
        process = get_context("fork").Process(target=made, args=(toy, path))
        process.start()
        process.join()
    assert process.exitcode == -signal.SIGKILL
    left = files_in(tmp_path)
    assert "decoded.safetensors" not in left and len(left) == 2  # the lock and the unfinished file
    assert_same_items(items(toy, made(toy, path)), items(toy, None))
    assert files_in(tmp_path) == ["decoded.safetensors"]


def test_a_killed_process_that_decodes_is_one_line(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ResizedFiles, "__call__", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(UserError, match="a process that reads images has ended"):
        made(toy, tmp_path / "decoded.safetensors", workers=1)
    assert files_in(tmp_path) == []


def test_two_runs_do_not_make_it_at_once(toy: Toy, tmp_path: Path) -> None:
    with run_lock(tmp_path), pytest.raises(UserError, match="another run"):
        made(toy, tmp_path / "decoded.safetensors")


def test_too_many_images_are_refused_before_the_work(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoded, "MAX_HEADER", 1000)
    with pytest.raises(UserError, match="32 images are too many for one file"):
        made(toy, tmp_path / "decoded.safetensors")
    assert files_in(tmp_path) == []


def test_a_file_that_is_true_is_used_as_it_is(toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "decoded.safetensors"
    made(toy, path)
    assert "32 images decoded at 48 x 48 take 0.00 GB" in capsys.readouterr().err
    before = path.stat()
    with run_lock(tmp_path):  # reading needs no lock
        made(toy, path, workers=2)
    assert path.stat() == before and capsys.readouterr().err == ""


@pytest.mark.usefixtures("tiny_network")
@pytest.mark.parametrize("workers", [0, 2])
def test_training_is_the_same_to_the_bit_with_and_without_it(toy: Toy, tmp_path: Path, workers: int) -> None:
    path = tmp_path / "decoded.safetensors"
    train_toy(HELD, toy, tmp_path / "without")
    train(HELD, toy.dataset, toy.parts, tmp_path / "with", device="cpu", workers=workers, decoded=path)
    assert_same_run(tmp_path / "with", tmp_path / "without")
    path.unlink()
    train(HELD, toy.dataset, toy.parts, tmp_path / "with", device="cpu", workers=workers, decoded=path)
    assert not path.exists()  # a finished run needs no images


@pytest.mark.usefixtures("tiny_network")
def test_training_reads_every_image_from_there(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the held-out vehicles too."""
    path = tmp_path / "decoded.safetensors"
    made(toy, path, HELD.image_size)
    monkeypatch.setattr(ResizedFiles, "__call__", lambda *_: pytest.fail("an image was decoded"))
    train(HELD, toy.dataset, toy.parts, tmp_path / "run", device="cpu", workers=0, decoded=path)


@pytest.mark.usefixtures("tiny_network")
def test_the_option_keeps_it_beside_the_part_cache(toy: Toy, tmp_path: Path) -> None:
    write_parts(tmp_path / "folder" / "parts.h5", toy.parts)
    where = ["--dataset", "folder", "--data-root", str(toy.dataset.root), "--runs", str(tmp_path), "--device", "cpu"]
    command = ["train", *where, "--workers", "0", "--recipe", "pgan_small", *TINY_OPTIONS, "--set", "epochs=1"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert files_in(tmp_path / "folder") == ["parts.h5", "pgan_small"]
    plain = (tmp_path / "folder" / "pgan_small").rename(tmp_path / "plain")
    result = CliRunner().invoke(main, [*command, "--decoded-cache"])
    assert result.exit_code == 0 and "32 images decoded at 64 x 64" in result.stderr, result.output
    assert result.stdout.strip() == str(tmp_path / "folder" / "pgan_small" / BEST)
    assert files_in(tmp_path / "folder") == ["decoded-64.safetensors", "parts.h5", "pgan_small"]
    assert_same_run(tmp_path / "folder" / "pgan_small", plain)
