"""Results of other commands: the detector that made the part cache, and the ablation tables of the test."""

from dataclasses import replace
from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from data_cache.base.files import append_json_line, sha256_of_file, write_json
from helpers.toy.evaluated import make_wheel_and_mirror
from reid.report.other_results import detector_summary, find_detector_run, read_ablation_tables

PARTS = make_wheel_and_mirror(("0.png", "1.png"))
SPLITS = ("small", "medium", "large")
TABLE = """# Table 1: losses

|          |        mAP | paper mAP |        run |
| :------- | ---------: | --------: | ---------: |
| baseline | 56.1 ± 0.4 |      75.7 | `baseline` |
| PGAN     | not run yet |          |     `pgan` |

- Percent. Paper: VeRi-776.
- Command: `python cli.py ablate --table 1`
"""


def write_detectors(folder: Path) -> Path:
    for name in ("first", "second"):
        (folder / name).mkdir(parents=True)
        (folder / name / "weights.safetensors").write_text(name)
        metrics = {"images": 80, "parts": 1640, "ap": 0.4, "ap50": 0.683, "recall": 0.79, "recall_depth": 8}
        write_json(folder / name / "metrics.json", metrics | {"ap_by_part": {"wheel": 0.25}})
        append_json_line(folder / name / "log.jsonl", {"epoch": 1, "loss": 2.0})
    return folder


def test_the_detector_is_found_by_its_weights(tmp_path: Path) -> None:
    folder = write_detectors(tmp_path)
    fingerprint = {"weights_sha256": sha256_of_file(folder / "second" / "weights.safetensors")}
    assert find_detector_run(folder, replace(PARTS, fingerprint=fingerprint)) == folder / "second"
    assert find_detector_run(folder, replace(PARTS, fingerprint={"weights_sha256": "beef"})) is None
    assert find_detector_run(folder, PARTS) is None
    assert find_detector_run(folder / "first", PARTS) == folder / "first"


def test_detector_metrics_are_labelled_percentages(tmp_path: Path) -> None:
    summary = detector_summary(write_detectors(tmp_path) / "second", PARTS)
    assert summary["name"] == "second" and summary["counted"] == "1,640 parts in 80 images"
    assert summary["rows"][0] == ("AP50", "68.3") and summary["ap_by_part"] == {"wheel": 0.25}
    assert [value for _, value in summary["rows"]] == ["68.3", "40.0", "79.0"]
    assert summary["loss"].startswith("<svg")


def test_an_unknown_detector_has_no_name(tmp_path: Path) -> None:
    for folder in (None, tmp_path / "absent"):
        assert detector_summary(folder, PARTS)["name"] is None


def test_a_table_is_read_with_its_notes(tmp_path: Path) -> None:
    assert read_ablation_tables(tmp_path, "large", SPLITS) == []
    (tmp_path / "table-1.md").write_text(TABLE)
    (table,) = read_ablation_tables(tmp_path, "large", SPLITS, dataset="veri")
    assert table.title == "Table 1: losses" and table.headings == ("", "mAP", "paper mAP", "run")
    assert table.rows == (("baseline", "56.1 ± 0.4", "75.7", "baseline"), ("PGAN", "not run yet", "", "pgan"))
    assert table.notes == ("Percent. Paper: VeRi-776.", "Command: python cli.py ablate --table 1")
    assert table.bars == [1.0, None]


@pytest.mark.parametrize("dataset", ["vehicleid", "synthetic", None])
def test_the_scores_of_the_paper_are_left_out_on_another_data_set(tmp_path: Path, dataset: str | None) -> None:
    (tmp_path / "table-1.md").write_text(TABLE + "- The paper calls D = 0 its baseline.\n")
    (table,) = read_ablation_tables(tmp_path, "large", SPLITS, dataset=dataset)
    assert table.headings == ("", "mAP", "run")
    assert table.rows == (("baseline", "56.1 ± 0.4", "baseline"), ("PGAN", "not run yet", "pgan"))
    assert table.notes == ("Percent.", "Command: python cli.py ablate --table 1")


def test_each_test_has_its_own_tables_and_the_default_has_no_suffix(tmp_path: Path) -> None:
    for name in ("table-2", "table-1", "figure-3", "table-1-small", "table-oracle-medium", "notes", "table-1-extra"):
        (tmp_path / f"{name}.md").write_text(TABLE.replace("Table 1: losses", name))
    titles = {split: [table.title for table in read_ablation_tables(tmp_path, split, SPLITS)] for split in SPLITS}
    assert titles == {
        "large": ["figure-3", "table-1", "table-1-extra", "table-2"],
        "medium": ["table-oracle-medium"],
        "small": ["table-1-small"],
    }


@pytest.mark.parametrize(
    "text", ["", "# Title\n\nno table", TABLE.removeprefix("# Table"), TABLE + "| short |\n", "\ud800"]
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "table-1.md").write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(UserError, match=r"table-1\.md: .*run `ablate` again"):
        read_ablation_tables(tmp_path, "large", SPLITS)
