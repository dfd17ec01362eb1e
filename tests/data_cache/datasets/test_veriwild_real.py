"""The reader of VERI-Wild on the real lists of its small test, in both dialects."""

from pathlib import Path

import pytest

from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.findings import findings
from helpers.paths import ROOT
from helpers.toy.lists import lay, records

REAL_LISTS = ROOT.parent / "shared/data/veri-wild-lists"


@pytest.mark.skipif(not REAL_LISTS.is_dir(), reason=f"the lists of VERI-Wild are not at {REAL_LISTS}")
@pytest.mark.parametrize("cameras", ["in a table", "in the lines"])
def test_the_real_small_test_of_veriwild(tmp_path: Path, cameras: str) -> None:
    """From the real lists and tables `vehicle/image;camera;model;type;colour`, or written in the second dialect."""
    info = [
        line
        for name in ("test_3000_info.txt", "test_3000_query_info.txt")
        for line in (REAL_LISTS / name).read_text().split("\n")
        if line
    ]
    told = {line.split(";")[0]: int(line.split(";")[1]) for line in info}
    root = tmp_path / "VERI-Wild"
    lay(root, {"train_test_split/train_list.txt": []})
    if cameras == "in a table":
        lay(root, {"vehicle_info.txt": info})
        for name in ("test_3000.txt", "test_3000_query.txt"):
            (root / "train_test_split" / name).write_bytes((REAL_LISTS / name).read_bytes())
    else:
        for kind in ("", "_query"):
            images = (REAL_LISTS / f"test_3000{kind}.txt").read_text().split()
            lines = [f"{image}.jpg 0 {told[image]}" for image in images]
            lay(root, {f"train_test_split/test_3000_id{kind}.txt": lines})
    dataset = load_dataset("veriwild", tmp_path)
    trial = dataset.protocol("small").trials[0]
    assert (len(trial.query), len(trial.gallery), len(dataset.table)) == (3000, 38861, 41861)
    assert dataset.table["vehicle_id"].nunique() == dataset.table["vehicle_id"].iloc[trial.query].nunique() == 3000
    assert {name: camera for name, _, camera, _ in records(dataset.table)} == {
        f"images/{image}.jpg": camera for image, camera in told.items()
    }
    if cameras == "in a table":
        colours = {line.split(";")[0]: line.split(";")[4] for line in info}
        assert dict(zip(dataset.table["name"].str[7:-4], dataset.table["colour"], strict=True)) == colours
    gallery = {(image.split("/")[0], told[image]) for image in (REAL_LISTS / "test_3000.txt").read_text().split()}
    cameras_seen = set(told.values())
    lonely = [
        image
        for image in (REAL_LISTS / "test_3000_query.txt").read_text().split()
        if not any((image.split("/")[0], camera) in gallery for camera in cameras_seen - {told[image]})
    ]
    assert len(lonely) == 12  # seen by one camera only
    found = findings(dataset)
    assert found.faults == ()
    assert found.remarks == (f"small: 12 queries have no match and do not count, first images/{lonely[0]}.jpg",)
