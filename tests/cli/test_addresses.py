"""Commands on images and output at an address: the bytes of the same files on a disk, or one line of refusal."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import fsspec
import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli import main
from data_cache.base.remote import requests
from data_cache.parts.cache import STATUS_FAILED, read_parts
from data_cache.parts.shards import shards_folder
from helpers.places.api import ToyRun, make_toy_run, small_networks
from helpers.places.reid import assert_error
from helpers.places.web_folder import served
from reid.features.file import read_features
from vehicle_reid import Gallery

IMAGES, PARTS = "memory://bucket/images", "memory://bucket/out/parts.h5"


class Fleet(NamedTuple):
    """A trained run on a data set, and its list as a file of its own, of the same name."""

    run: ToyRun
    csv: Path

    def __call__(self, command: str, root: object, runs: Path, *words: object) -> Result:
        """Run a command on the images below `root`, with a copy of the run in `runs`."""
        if not (runs / "folder").exists():
            shutil.copytree(self.run.folder, runs / "folder/tiny", ignore=shutil.ignore_patterns("gallery*", "test"))
        options = ["--dataset", self.csv, "--data-root", root, "--runs", runs, "--device", "cpu"]
        if "--workers" not in words:
            options += ["--workers", "0"]
        result = CliRunner().invoke(main, [*command.split(), *map(str, [*options, *words])])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def detect(self, root: object, runs: Path, *words: object) -> Result:
        """Run `detect` with the detector of the data set's own run."""
        return self("detect", root, runs, "--detector", self.run.runs / "detector/toy/weights.safetensors", *words)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    with small_networks():
        run = make_toy_run(folder)
        yield Fleet(run, Path(shutil.copy(run.root / "images.csv", folder / "folder.csv")))


@pytest.fixture
def store(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Iterator[fsspec.AbstractFileSystem]:
    """A store in the memory of this process with the images; a request that fails is repeated at once."""
    monkeypatch.setattr(requests, "WAITS", (0.0, 0.0, 0.0))
    memory = fsspec.filesystem("memory")
    for name in fleet.run.toy.dataset.names():
        memory.pipe_file(f"/bucket/images/{name}", fleet.run.path(name).read_bytes())
    yield memory
    memory.rm("/", recursive=True)


def succeeded(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def made_by_chain(fleet: Fleet, root: object, runs: Path, *words: object) -> dict[str, bytes]:
    """Detect parts and extract features; return the contents of the files."""
    succeeded(fleet.detect(root, runs, *words))
    features = Path(succeeded(fleet("features", root, runs, *words)).strip())
    return {path.name: path.read_bytes() for path in (runs / "folder/parts.h5", features)}


def test_both_stages_write_the_bytes_that_they_write_from_a_disk(
    fleet: Fleet, store: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    from_disk = made_by_chain(fleet, fleet.run.root, tmp_path / "disk")
    assert made_by_chain(fleet, IMAGES, tmp_path / "bucket") == from_disk
    again = fleet.detect(IMAGES, tmp_path / "bucket")
    assert "nothing was left to do" in succeeded(again)


@pytest.mark.parametrize("words", [["--workers", "2"], ["--workers", "2", "--batch-size", "5"]])
def test_worker_processes_read_from_a_web_server(fleet: Fleet, tmp_path: Path, words: list[str]) -> None:
    pytest.importorskip("aiohttp", reason="the extra remote is not installed")
    with served(fleet.run.root) as root:
        succeeded(fleet.detect(root, tmp_path / "web", *words))
        features = [
            Path(succeeded(fleet("features", source, tmp_path / "web", *words[:2])).strip()).read_bytes()
            for source in (root, fleet.run.root)
        ]
    succeeded(fleet.detect(fleet.run.root, tmp_path / "disk"))
    parts = [(tmp_path / runs / "folder/parts.h5").read_bytes() for runs in ("web", "disk")]
    assert parts[0] == parts[1] and features[0] == features[1]


def test_evaluation_and_galleries_read_from_an_address(
    fleet: Fleet, store: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    scores = []
    galleries = []
    for name, root in (("disk", fleet.run.root), ("bucket", IMAGES)):
        runs = tmp_path / name
        succeeded(fleet.detect(root, runs))
        scores.append(succeeded(fleet("evaluate", root, runs)))
        succeeded(fleet("gallery build", root, runs, "--gallery", runs / "gallery"))
        galleries.append(Gallery.load(runs / "gallery", fleet.run.model()).store.read(["name", "feature"]))
    assert scores[0] == scores[1]
    assert galleries[0]["name"].tolist() == galleries[1]["name"].tolist() == fleet.run.names("gallery")
    assert np.array_equal(*(np.stack(gallery["feature"].tolist()) for gallery in galleries))


def test_a_missing_and_a_damaged_image_are_failures_and_are_retried(
    fleet: Fleet, store: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    first, second, *_ = fleet.run.toy.dataset.names()
    contents = [store.cat_file(f"/bucket/images/{name}") for name in (first, second)]
    store.rm_file(f"/bucket/images/{first}")
    store.pipe_file(f"/bucket/images/{second}", contents[1][:200])
    result = fleet.detect(IMAGES, tmp_path)
    assert f"{IMAGES}/{first}: no such file" in succeeded(result)
    parts = read_parts(tmp_path / "folder/parts.h5")
    assert [name for name, status in zip(parts.names, parts.status, strict=True) if status == STATUS_FAILED] == [
        first,
        second,
    ]
    assert parts.failure[1].startswith(f"{IMAGES}/{second}: damaged image (")
    for name, content in zip((first, second), contents, strict=True):
        store.pipe_file(f"/bucket/images/{name}", content)
    assert "2 images now" in succeeded(fleet.detect(IMAGES, tmp_path))
    succeeded(fleet.detect(fleet.run.root, tmp_path / "disk"))
    assert (tmp_path / "folder/parts.h5").read_bytes() == (tmp_path / "disk/folder/parts.h5").read_bytes()


def test_a_store_that_does_not_answer_ends_the_run_and_fails_no_image(
    fleet: Fleet, store: fsspec.AbstractFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, asked = type(store).cat_file, []

    def cat_file(self: fsspec.AbstractFileSystem, path: str, *arguments: object) -> bytes:
        asked.append(path)
        if len(asked) > 9:
            raise ConnectionError("the network is gone")
        return bytes(read(self, path, *arguments))

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "cat_file", cat_file)
        result = fleet.detect(IMAGES, tmp_path, "--shard-size", "4", "--batch-size", "4")
        assert_error(result, 1, f"{IMAGES}/images/", "the network is gone")
    finished = list(shards_folder(tmp_path / "folder/parts.h5").glob("*.h5"))
    assert len(finished) == 2 and not (tmp_path / "folder/parts.h5").exists()
    assert "resuming: 8 of" in fleet.detect(IMAGES, tmp_path, "--shard-size", "4").stderr
    succeeded(fleet.detect(fleet.run.root, tmp_path / "disk"))
    assert (tmp_path / "folder/parts.h5").read_bytes() == (tmp_path / "disk/folder/parts.h5").read_bytes()


def test_replaced_images_are_noticed(fleet: Fleet, store: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    succeeded(fleet.detect(IMAGES, tmp_path))
    name = fleet.run.toy.dataset.names()[0]
    store.pipe_file(f"/bucket/images/{name}", store.cat_file(f"/bucket/images/{name}") + b"\0")
    assert_error(fleet.detect(IMAGES, tmp_path), 1, f"images below {IMAGES} were replaced since it was written")


def test_output_goes_to_an_address_whole(fleet: Fleet, store: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    printed = succeeded(fleet.detect(IMAGES, tmp_path, "--output", PARTS))
    assert f"{PARTS}: copied there" in printed
    assert store.cat_file("/bucket/out/parts.h5") == (tmp_path / "folder/parts.h5").read_bytes()
    assert store.ls("/bucket/out", detail=False) == ["/bucket/out/parts.h5"]

    other = fleet.detect(IMAGES, tmp_path / "other machine", "--output", PARTS)
    assert "nothing was left to do" in succeeded(other)
    assert (tmp_path / "other machine/folder/parts.h5").read_bytes() == store.cat_file("/bucket/out/parts.h5")

    array = "memory://bucket/out/features.npy"
    succeeded(fleet("features", IMAGES, tmp_path, "--output", array))
    succeeded(fleet("features", IMAGES, tmp_path, "--output", tmp_path / "features.npy"))
    assert store.cat_file("/bucket/out/features.npy") == (tmp_path / "features.npy").read_bytes()


@pytest.mark.parametrize("content", [b"mine", b"SHARD"])
def test_another_file_at_the_address_of_the_output_is_kept(
    fleet: Fleet, store: fsspec.AbstractFileSystem, tmp_path: Path, content: bytes
) -> None:
    if content == b"SHARD":  # a cache of other images
        succeeded(fleet.detect(IMAGES, tmp_path / "few", "--limit", "3"))
        content = (tmp_path / "few/folder/parts-first-3.h5").read_bytes()
    store.pipe_file("/bucket/out/parts.h5", content)
    result = fleet.detect(IMAGES, tmp_path, "--output", PARTS)
    assert_error(result, 1, PARTS, "choose another address with --output, or delete that file")
    assert store.cat_file("/bucket/out/parts.h5") == content
    assert not (tmp_path / "folder/parts.h5").exists()


def test_an_upload_that_fails_keeps_the_cache(
    fleet: Fleet, store: fsspec.AbstractFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("read only")

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "put_file", refuse)
        assert_error(fleet.detect(IMAGES, tmp_path, "--output", PARTS), 1, PARTS, "read only")
    assert not store.exists("/bucket/out/parts.h5") and read_parts(tmp_path / "folder/parts.h5").names
    assert "nothing was left to do" in succeeded(fleet.detect(IMAGES, tmp_path, "--output", PARTS))
    assert store.cat_file("/bucket/out/parts.h5") == (tmp_path / "folder/parts.h5").read_bytes()


@pytest.mark.parametrize(
    ("command", "words", "code", "reason"),
    [
        ("detect", ["--dataset", "veri"], 1, "an address needs a list of its images, --dataset FILE.csv"),
        ("detect", ["--dataset", "folder"], 1, "an address needs a list of its images, --dataset FILE.csv"),
        ("detect", ["--dataset", "s3://bucket/a.csv"], 1, "a list is read from this machine only"),
        ("detect", ["--images", "s3://bucket"], 2, "an address is not read here: copy it to this machine"),
        ("detect", ["--runs", "s3://bucket"], 2, "an address is not read here: copy it to this machine"),
        ("detect", ["--output", "https://host/parts.h5"], 2, "https://"),
        ("detect", ["--workers", "1"], 1, "is the memory of one process, which other processes cannot read"),
        ("detect", ["--engine", "ray"], 1, "is the memory of one process, which other processes cannot read"),
        ("features", ["--parts", "memory://b/parts.h5"], 2, "an address is not read here"),
        ("rank", [], 2, "only detect, features, evaluate, gallery build and gallery add read images at an address"),
        ("train", [], 2, "only detect, features, evaluate, gallery build and gallery add read images at an address"),
        ("check", [], 2, "only detect, features, evaluate, gallery build and gallery add read images at an address"),
    ],
)
def test_what_reads_no_address_says_so_in_one_line(
    fleet: Fleet, tmp_path: Path, command: str, words: list[str], code: int, reason: str
) -> None:
    given = {"--dataset": str(fleet.csv), "--data-root": IMAGES, "--runs": str(tmp_path)}
    given |= dict(zip(words[::2], words[1::2], strict=True))
    if command == "check":
        del given["--runs"]
    if command == "detect":
        given["--detector"] = str(fleet.run.runs / "detector/toy/weights.safetensors")
        given.setdefault("--workers", "0")
    result = CliRunner().invoke(main, [command, *(word for option in given.items() for word in option)])
    assert_error(result, code, reason)


def test_names_that_are_addresses_are_refused(fleet: Fleet, tmp_path: Path) -> None:
    csv = tmp_path / "addresses.csv"
    csv.write_text("name,vehicle_id,camera_id,split\ns3://bucket/a.jpg,1,1,query\n")
    result = fleet._replace(csv=csv)("features", IMAGES, tmp_path / "runs")
    assert_error(result, 1, "line 2: a name is a path, no address; give the address of the folder as --data-root")


def test_a_feature_file_is_complete(fleet: Fleet, store: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    succeeded(fleet.detect(IMAGES, tmp_path))
    name = fleet.run.names("gallery")[0]
    store.rm_file(f"/bucket/images/{name}")
    result = fleet("features", IMAGES, tmp_path)
    assert_error(result, 1, f"1 images are missing, first {IMAGES}/{name}")
    assert not list(tmp_path.rglob("features.safetensors"))
    store.pipe_file(f"/bucket/images/{name}", fleet.run.path(name).read_bytes())
    path = Path(succeeded(fleet("features", IMAGES, tmp_path)).strip())
    assert set(read_features(path).names) == set(fleet.run.tested_names())
