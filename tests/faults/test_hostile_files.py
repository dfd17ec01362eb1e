"""Malicious files: no code runs, claimed sizes take no memory, and no text from a file controls the terminal."""

import dataclasses
import io
import json
import pickle
import re
import sys
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cli import main
from data_cache.base.errors import UserError
from data_cache.parts.cache import read_parts, write_parts
from helpers.faults.attack import Attack
from helpers.faults.bombs import MIB, read_bombs
from helpers.parts import MakeParts
from helpers.places.stand_in import data_set, stand_in
from soak.fuzz import TARGETS, target_files
from soak.inputs.texts import coco_document

MOST = 64 * MIB >> 10  # KiB that a bomb may cost; the smallest of them would take 160,000
CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]")
NASTY = "\x1b[2J\x07\u202e<b>[red]$x_{"


def payloads(trace: Path) -> dict[str, bytes]:
    """Return files that run code in a careless reader: it would create the file `trace`."""
    buffer, array = io.BytesIO(), np.empty(1, dtype=object)
    array[0] = Attack(trace)
    np.save(buffer, array, allow_pickle=True)
    archive, saved = io.BytesIO(), io.BytesIO()
    np.savez(archive, names=array, features=array)
    torch.save({"state_dict": Attack(trace)}, saved)
    return {
        "pickle": pickle.dumps(Attack(trace), protocol=2),
        "torch.save": saved.getvalue(),
        ".npy": buffer.getvalue(),
        ".npz": archive.getvalue(),
        "YAML": f"!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [{trace}]]".encode(),
        "YAML name": b"seed: !!python/name:os.system",
        "XML": f'<!DOCTYPE a [<!ENTITY b SYSTEM "file://{trace}">]><a>&b;</a>'.encode(),
    }


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(("name", "file"), target_files())
def test_no_reader_runs_code_from_a_file(name: str, file: str, tmp_path: Path) -> None:
    target, trace = TARGETS[name], tmp_path / "trace"
    target.write(tmp_path)
    for kind, data in payloads(trace).items():
        (tmp_path / file).write_bytes(data)
        with suppress(UserError):  # some lists accept any words
            target.read(tmp_path)
        assert not trace.exists(), kind


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory in other units")
def test_bombs_are_refused_and_take_no_memory(tmp_path: Path) -> None:
    process = get_context("fork").Process(target=read_bombs, args=(tmp_path, tmp_path / "report.json"))
    process.start()
    process.join()
    assert process.exitcode == 0
    found = json.loads((tmp_path / "report.json").read_text())
    assert len(found) > 15
    for name, line, grown in found:
        assert line and "\n" not in line, name
        assert grown < MOST, (name, line, grown)


def output_of(words: list[str], code: int) -> list[str]:
    """Return the lines that a command prints, which hold no control characters."""
    result = CliRunner().invoke(main, words)
    assert result.exit_code == code and isinstance(result.exception, SystemExit | None), result.output
    assert not CONTROL.search(result.output), repr(result.output)
    return result.output.splitlines()


@pytest.fixture
def nasty_cache(tmp_path: Path, make_parts: MakeParts) -> Path:
    """A part cache whose names, failures and parts contain control characters and markup."""
    parts = make_parts(4, 3)
    names = tuple(sorted(f"{NASTY} {number}.jpg" for number in range(4)))
    failure = (f"{names[0]}: damaged {NASTY}", *parts.failure[1:])
    fingerprint = {**parts.fingerprint, "scores": NASTY, "dataset": NASTY}
    part_names = tuple(f"{NASTY}{name}" for name in parts.part_names)
    changed = dataclasses.replace(parts, names=names, failure=failure, part_names=part_names, fingerprint=fingerprint)
    write_parts(tmp_path / "nasty.h5", changed)
    return tmp_path / "nasty.h5"


def test_output_on_a_cache_escapes_its_texts(nasty_cache: Path, tmp_path: Path) -> None:
    cache, out = str(nasty_cache), str(tmp_path / "out")
    assert any("[red]" in line for line in output_of(["cache", "stats", cache, "--output", out], 0))
    output_of(["cache", "merge", f"{out}.h5", cache], 0)
    output_of(["cache", "export", cache, "--output", f"{out}.json"], 0)
    output_of(["cache", "verify", cache, f"{out}.h5"], 1)
    (tmp_path / "images.csv").write_text("name,vehicle_id,camera_id,split\na.jpg,1,0,train\n")
    words = ["cache", "verify", cache, "--dataset", "folder", "--data-root", str(tmp_path)]
    assert r"\x1b[2J" in output_of(words, 1)[-1]
    write_parts(tmp_path / "folder" / "parts.h5", read_parts(nasty_cache))
    train = ["train", "--dataset", "folder", "--data-root", str(tmp_path), "--runs", str(tmp_path), "--device", "cpu"]
    output_of([*train, "--recipe", "baseline"], 1)


def test_errors_and_warnings_escape_names(tmp_path: Path) -> None:
    rows = [f'"{name}.jpg","{NASTY}",0,{split}' for name, split in (("a", "train"), ("b", "query"), ("c", "gallery"))]
    (tmp_path / "images.csv").write_text("\n".join(["name,vehicle_id,camera_id,split", *rows]))
    where = ["--dataset", "folder", "--data-root", str(tmp_path)]
    assert r"first \x1b[2J" in output_of(["check", *where], 1)[-1]
    (tmp_path / "nasty.yaml").write_text(json.dumps({NASTY: 1}))
    output_of(["train", *where, "--recipe", str(tmp_path / "nasty.yaml"), "--device", "cpu"], 1)
    document = coco_document()
    document["images"][0]["file_name"] = f"{NASTY}.png"
    document["categories"][0]["name"] = NASTY
    (tmp_path / "coco.json").write_text(json.dumps(document))
    output_of(["cache", "import", "--coco", str(tmp_path / "coco.json"), "--output", str(tmp_path / "o.h5")], 1)
    output_of(["parts", "check", "--annotations", str(tmp_path / "coco.json")], 1)
    output_of(["parts", "convert", "--coco", str(tmp_path / "coco.json"), "--output", str(tmp_path / "o.json")], 1)


def test_detection_escapes_names_of_pictures(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / f"{NASTY}.jpg").write_bytes(b"no picture")
    data = data_set(tmp_path / "data", 1, damaged=None)
    words = ["--detector", str(data / "w.safetensors"), "--output", str(tmp_path / "o.h5"), "--device", "cpu"]
    with stand_in():
        lines = output_of(["detect", "--images", str(tmp_path / "photos"), *words, "--workers", "0"], 1)
    assert any(r"first failed: \x1b[2J" in line for line in lines)
    assert any(r"none of the 1 images could be read, first \x1b[2J" in line for line in lines)
