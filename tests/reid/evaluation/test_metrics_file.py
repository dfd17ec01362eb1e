"""Reading metrics.json: validation in one line, and the recorded commit."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from data_cache.base.errors import UserError
from reid.evaluation.metrics_file import commit_of, read_metrics
from soak.inputs.texts import metrics_written

VALID: dict[str, Any] = json.loads(metrics_written()["metrics.json"])


def written(path: Path, metrics: object) -> Path:
    path.write_text(json.dumps(metrics))
    return path


def with_scores(**change: object) -> dict[str, Any]:
    return VALID | {"scores": {"trained": VALID["scores"]["trained"] | change}}


def test_a_valid_file_is_read_with_its_other_entries(tmp_path: Path) -> None:
    metrics = VALID | {"made": "2024-01-01", "scores": {"given, re-ranked": VALID["scores"]["trained"]}}
    assert read_metrics(written(tmp_path / "metrics.json", metrics)) == metrics


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ([], "damaged, or of another version (metrics:"),
        ({}, "(dataset: Field required)"),
        ({**VALID, "scores": {}}, "(scores: "),
        ({**VALID, "scores": {"trained": {}}}, "(scores.trained.split: "),
        ({**VALID, "versions": ["torch"]}, "(versions: "),
        (with_scores(queries="4"), "(scores.trained.queries: "),
        (with_scores(precision="steep"), "(scores.trained.precision: "),
        (with_scores(deviation={"mAP": "x"}), "(scores.trained.deviation.mAP: "),
        (with_scores(mAP=1.5), "damaged (trained: mAP is not in [0, 1])"),
        (with_scores(cmc5=-0.1), "damaged (trained: cmc5 is not in [0, 1])"),
    ],
)
def test_an_invalid_entry_is_refused_by_name(tmp_path: Path, metrics: object, words: str) -> None:
    path = written(tmp_path / "metrics.json", metrics)
    with pytest.raises(UserError) as caught:
        read_metrics(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and words in message and "\n" not in message
    assert message.endswith("; run `python cli.py evaluate` again")


def test_commit_of_names_the_commit_and_uncommitted_changes(tmp_path: Path) -> None:
    assert commit_of(tmp_path) is None
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(tmp_path)]
    (tmp_path / "code.py").write_text("1")
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *command], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert len(head) == 40 and commit_of(tmp_path) == head
    installed = tmp_path / ".venv" / "reid"
    installed.mkdir(parents=True)
    (installed / "code.py").write_text("1")
    assert commit_of(installed) is None  # inside the repository, but not tracked
    (tmp_path / "code.py").write_text("2")
    assert commit_of(tmp_path) == f"{head}-dirty"
