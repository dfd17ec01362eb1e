"""The bar chart of attention: a picture where parts are weighed, none elsewhere."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from helpers.toy.evaluated import shown_run
from reid.report.statistics import write_attention_chart


def test_bars_are_the_mean_attention_most_preferred_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, *a, **k: (drawn.append(figure), save(figure, *a, **k)))
    path = write_attention_chart(shown_run(tmp_path), tmp_path / "charts" / "attention.png")
    assert path is not None and Image.open(path).format == "PNG"
    axes = drawn[0].axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.8, 0.2])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["mirror", "wheel"]
    assert axes.lines[0].get_xdata() == pytest.approx([0.5, 0.5])


def test_a_network_that_weighs_no_parts_has_no_chart(tmp_path: Path) -> None:
    run = shown_run(tmp_path)
    grid = replace(run, features=replace(run.features, attention=np.full((15, 49), 1 / 49, np.float32)))
    assert write_attention_chart(grid, tmp_path / "attention.png") is None
    assert not (tmp_path / "attention.png").exists()
