"""The confidence of the best match of a calibrated run, in Python and on the command line."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cli import main
from data_cache.base.errors import UserError
from helpers.places.api import ToyRun
from reid.evaluation.calibration import FILE, CalibratedRun
from reid.retrieval.open_set import EVIDENCE, Calibration, evidence
from vehicle_reid import Gallery, VehicleReID

MODEL = Calibration(
    (0.5, 0.1, 0.1, -1.0, 3.0), (0.2,) * 5, (-9.0,) * 5, (9.0,) * 5, (1.0, 0.5, -0.2, 0.3, 0.1), 0.2, 0.6
)


@pytest.fixture
def run(toy_run: ToyRun, tmp_path: Path) -> ToyRun:
    """A copy of the toy run with a calibration."""
    runs = Path(shutil.copytree(toy_run.runs, tmp_path / "runs"))
    folder = runs / toy_run.folder.relative_to(toy_run.runs)
    sha256 = str(toy_run.model().fingerprint["checkpoint"])
    CalibratedRun(MODEL, sha256, "f1", 9, {}).write(folder)
    return ToyRun(toy_run.toy, runs, folder)


def test_the_confidence_is_that_of_the_whole_list_whatever_is_shown(run: ToyRun) -> None:
    model = run.model()
    gallery = Gallery.build(model, run.images(), cameras=run.cameras)
    embedded = model.embed(run.images(run.names("query")))
    found = gallery.search(embedded, k=2, without_cameras=[1])
    allowed = gallery.entries.cameras != 1
    scores = np.stack(embedded["feature"].tolist()) @ gallery.entries.features[allowed].T
    wanted = MODEL.confidence(evidence(-np.sort(-scores, axis=1), int(allowed.sum())))
    first = found[found["rank"] == 1]
    np.testing.assert_allclose(first["confidence"], wanted, atol=1e-4)
    assert found[found["rank"] == 2]["confidence"].isna().all()
    assert len(set(np.round(wanted, 3))) > 1


def test_an_image_can_be_left_out_of_its_own_search(run: ToyRun) -> None:
    model = run.model()
    gallery = Gallery.build(model, run.images())
    name = gallery.names[0]
    embedded = model.embed({name: run.path(name)})
    assert gallery.search(embedded, k=1)["name"].tolist() == [name]
    others = gallery.search(embedded, k=len(gallery), without=[name])
    assert name not in others["name"].tolist() and len(others) == len(gallery) - 1


def test_without_a_calibration_there_is_no_confidence(toy_run: ToyRun, run: ToyRun) -> None:
    gallery = Gallery.build(toy_run.model(), toy_run.images())
    assert gallery.search(toy_run.photos()[0], k=3)["confidence"].isna().all()
    assert VehicleReID.load(run.folder, device="cpu", flip_test=True).calibration is None


def test_a_calibration_of_another_checkpoint_is_refused(run: ToyRun) -> None:
    (run.folder / FILE).write_text((run.folder / FILE).read_text().replace('"checkpoint": "', '"checkpoint": "0'))
    with pytest.raises(UserError, match="made for another checkpoint"):
        _ = run.model().calibration


def test_the_command_says_match_or_no_match(run: ToyRun, tmp_path: Path) -> None:
    gallery = tmp_path / "g.safetensors"
    shared = ["--dataset", "folder", "--runs", str(run.runs), "--device", "cpu", "--gallery", str(gallery)]
    photos = [str(path) for path in run.photos()[:3]]

    def invoke(command: str, *words: str) -> str:
        result = CliRunner().invoke(main, ["gallery", command, *shared, *words])
        assert result.exit_code == 0, result.output
        return result.stdout

    invoke("build", "--images", str(run.root / "images"), "--workers", "0")
    matches = json.loads(invoke("search", *photos, "-k", "2", "--json"))
    confidences = [match["confidence"] for match in matches]
    assert confidences[1::2] == [None] * 3 and all(0 <= one <= 1 for one in confidences[::2])
    assert [match["accepted"] for match in matches] == [
        None if one is None else one >= MODEL.threshold for one in confidences
    ]
    reranked = json.loads(invoke("search", photos[0], "-k", "2", "--rerank", "--json"))
    assert [match["confidence"] for match in reranked] == [None, None] and "accepted" not in reranked[0]
    assert reranked[0]["score"] <= 0  # minus a distance
    sha256 = str(run.model().fingerprint["checkpoint"])
    for threshold, words in ((0.0, "match, "), (1.0, "no match, ")):
        CalibratedRun(replace(MODEL, threshold=threshold), sha256, "f1", 9, {}).write(run.folder)
        table = invoke("search", photos[0], "-k", "1")
        assert "answer" in table and words in table
    assert len(EVIDENCE) == len(MODEL.weights)
