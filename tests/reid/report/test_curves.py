"""Training curves: what is in the log is drawn, what is not is told, and the picture suits light and dark pages."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from reid.report.curves import inline_svg, loss_curve, read_log, validation_curve

LOG = [
    {"epoch": 1, "loss": 3.0, "identity": 2.0, "part": 0.5, "images_per_second": 40.0},
    {"epoch": 2, "loss": 2.0, "identity": 1.0, "part": 0.4, "validation_mAP": 0.5, "validation_cmc1": 0.75},
]


def texts(svg: str) -> list[str]:
    return [
        "".join(element.itertext()) for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")
    ]


def test_losses_and_scores_in_the_log_are_drawn_and_named() -> None:
    loss, validation = loss_curve(LOG), validation_curve(LOG)
    assert loss is not None and validation is not None
    assert {"total", "identity", "triplet, part", "epoch", "loss"} <= set(texts(loss))
    assert "triplet, global" not in texts(loss)
    assert {"mAP", "CMC@1", "percent"} <= set(texts(validation))


def test_nothing_to_draw_is_told_by_none() -> None:
    assert loss_curve([]) is None
    assert validation_curve(LOG[:1]) is None
    assert loss_curve([{"epoch": 1, "loss": "high"}, {"epoch": 2}]) is None


def test_a_log_without_epochs_counts_its_lines() -> None:
    assert loss_curve([{"loss": 2.0}, {"loss": 1.0}]) is not None


def test_svg_is_alone_on_its_page_and_takes_the_text_colour() -> None:
    loss, detector = loss_curve(LOG), loss_curve(LOG, name="detector")
    assert loss is not None and detector is not None
    ids = [{element.get("id") for element in ElementTree.fromstring(svg).iter()} - {None} for svg in (loss, detector)]
    assert ids[0] and not ids[0] & ids[1]
    assert "currentColor" in loss and "#010203" not in loss and "<?xml" not in loss
    assert loss == loss_curve(LOG)


def test_references_follow_their_ids() -> None:
    svg = (
        '<?xml version="1.0"?><svg width="1.5pt" height="2pt"><g id="a"/><use href="#a"/><p clip-path="url(#a)"/></svg>'
    )
    found = inline_svg(svg, "x")
    assert 'id="x-a"' in found and 'href="#x-a"' in found and "url(#x-a)" in found and 'width="100%"' in found


def test_logs_are_read_and_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert read_log(path) == []
    path.write_text("".join(json.dumps(line) + "\n" for line in LOG) + '{"epoch": 3, "lo')
    assert read_log(path) == LOG
    for damaged in ('{"epoch": \n{"epoch": 2}\n', "[1]\n"):
        path.write_text(damaged)
        with pytest.raises(UserError, match=r"log\.jsonl: damaged log"):
            read_log(path)
