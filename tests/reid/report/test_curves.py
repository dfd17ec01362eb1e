"""Training curves: the series in the log are drawn, as SVG for light and dark pages."""

import xml.etree.ElementTree as ElementTree

from reid.report.curves import (
    compared_loss_curve,
    compared_validation_curve,
    inline_svg,
    loss_curve,
    validation_curve,
)

LOG = [
    {"epoch": 1, "loss": 3.0, "identity": 2.0, "part": 0.5, "images_per_second": 40.0},
    {"epoch": 2, "loss": 2.0, "identity": 1.0, "part": 0.4, "validation_mAP": 0.5, "validation_cmc1": 0.75},
]


def texts(svg: str) -> list[str]:
    return [
        "".join(element.itertext()) for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")
    ]


def test_losses_and_scores_in_the_log_are_drawn_with_labels() -> None:
    loss, validation = loss_curve(LOG), validation_curve(LOG)
    assert loss is not None and validation is not None
    assert {"total", "identity", "part vector", "epoch", "loss"} <= set(texts(loss))
    assert "global vector" not in texts(loss)
    assert {"mAP", "CMC@1", "percent"} <= set(texts(validation))


def test_the_losses_of_a_detector_are_drawn_too() -> None:
    loss = loss_curve([{"epoch": 1, "loss": 3.0, "loss_cls": 2.0, "loss_bbox": 1.0}], name="detector")
    assert loss is not None and {"total", "classes", "boxes"} <= set(texts(loss))


def test_a_log_without_the_values_gives_none() -> None:
    assert loss_curve([]) is None
    assert validation_curve(LOG[:1]) is None
    assert loss_curve([{"epoch": 1, "loss": "high"}, {"epoch": 2}]) is None


def test_svg_has_unique_ids_and_the_colour_of_the_text() -> None:
    loss, detector = loss_curve(LOG), loss_curve(LOG, name="detector")
    assert loss is not None and detector is not None
    ids = [{element.get("id") for element in ElementTree.fromstring(svg).iter()} - {None} for svg in (loss, detector)]
    assert ids[0] and not ids[0] & ids[1]
    assert "currentColor" in loss and "#010203" not in loss and "<?xml" not in loss
    assert loss == loss_curve(LOG)


def test_several_runs_are_in_one_chart_a_colour_each() -> None:
    half = [{**line, "loss": line["loss"] / 2} for line in LOG]
    names = [f"run {number}" for number in range(7)]  # more runs than colours
    loss, validation = (
        draw([(name, half) for name in names]) for draw in (compared_loss_curve, compared_validation_curve)
    )
    assert loss is not None and validation is not None
    assert set(names) <= set(texts(loss)) and "identity" not in texts(loss)
    assert {f"{name}: {metric}" for name in names for metric in ("mAP", "CMC@1")} <= set(texts(validation))
    assert compared_loss_curve([("one", LOG), ("other", [])]) is not None
    assert compared_validation_curve([("one", LOG[:1]), ("other", [])]) is None


def test_references_get_the_prefix_of_their_ids() -> None:
    svg = (
        '<?xml version="1.0"?><svg width="1.5pt" height="2pt"><g id="a"/><use href="#a"/><p clip-path="url(#a)"/></svg>'
    )
    found = inline_svg(svg, "x")
    assert 'id="x-a"' in found and 'href="#x-a"' in found and "url(#x-a)" in found and 'width="100%"' in found
