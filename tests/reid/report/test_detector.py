"""The detector on the page is the one whose weights made the part cache."""

from dataclasses import replace
from pathlib import Path

from data_cache.base.files import append_json_line, sha256_of_file, write_json
from helpers.toy.evaluated import some_parts
from reid.report.detector import detector_run, detector_summary

PARTS = some_parts(("0.png", "1.png"))


def detectors(folder: Path) -> Path:
    for name in ("first", "second"):
        (folder / name).mkdir(parents=True)
        (folder / name / "weights.safetensors").write_text(name)
        metrics = {"images": 80, "parts": 1640, "ap": 0.4, "ap50": 0.683, "recall": 0.79, "recall_depth": 8}
        write_json(folder / name / "metrics.json", metrics | {"ap_by_part": {"wheel": 0.25}})
        append_json_line(folder / name / "log.jsonl", {"epoch": 1, "loss": 2.0})
    return folder


def test_the_detector_is_found_by_its_weights(tmp_path: Path) -> None:
    folder = detectors(tmp_path)
    made_by = {"weights_sha256": sha256_of_file(folder / "second" / "weights.safetensors")}
    assert detector_run(folder, replace(PARTS, fingerprint=made_by)) == folder / "second"
    assert detector_run(folder, replace(PARTS, fingerprint={"weights_sha256": "beef"})) is None
    assert detector_run(folder, PARTS) is None
    assert detector_run(folder / "first", PARTS) == folder / "first"


def test_its_metrics_are_told_with_their_names(tmp_path: Path) -> None:
    found = detector_summary(detectors(tmp_path) / "second", PARTS)
    assert found["name"] == "second" and found["counted"] == "1,640 parts in 80 images"
    assert found["rows"][0] == ("AP50", "68.3") and found["ap_by_part"] == {"wheel": 0.25}
    assert [value for _, value in found["rows"]] == ["68.3", "40.0", "79.0"]
    assert found["loss"].startswith("<svg")


def test_an_unknown_detector_is_told_by_none(tmp_path: Path) -> None:
    for folder in (None, tmp_path / "absent"):
        assert detector_summary(folder, PARTS)["name"] is None
