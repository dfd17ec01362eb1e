"""The mean attention of every part as a bar chart."""

from pathlib import Path

from data_cache.plots import COLOURS, figure_written_to
from reid.part_statistics import part_statistics
from reid.shown_run import ShownRun

HEIGHT_AROUND, HEIGHT_OF_A_PART = 1.5, 0.3  # inches
EQUAL = "#24292f"


def write_attention_chart(run: ShownRun, path: Path) -> Path | None:
    """Write a PNG of a bar a part, the most preferred first, and return it; None where no parts are weighed.

    A bar is the mean attention of the part's boxes; the mark is what they would get if all boxes of an image got the
    same. Raises UserError where the file cannot be written.
    """
    found = part_statistics(run.parts, run.features) if run.weighs_parts else None
    uses = [use for use in found.uses if use.attention is not None] if found else []
    if not uses:
        return None
    uses.sort(key=lambda use: use.relative or 0.0, reverse=True)
    places = range(len(uses))
    with figure_written_to(path, 8.0, HEIGHT_AROUND + HEIGHT_OF_A_PART * len(uses)) as figure:
        axes = figure.subplots()
        axes.barh(places, [use.attention for use in uses], color=COLOURS[0], label="mean attention of a box")
        for place, use in zip(places, uses, strict=True):
            end = max(use.attention or 0.0, use.equal or 0.0)
            axes.text(1.02 * end, place, f"{use.attention:.3f} ({use.images:,})", va="center", fontsize=8)
        axes.plot(
            [use.equal for use in uses], places, "|", color=EQUAL, markersize=12, label="if all boxes got the same"
        )
        # a dollar sign would start a formula
        axes.set_yticks(places, [use.name.replace("$", r"\$") for use in uses], fontsize=9)
        axes.invert_yaxis()
        axes.margins(x=0.2)
        axes.set_axisbelow(True)
        axes.set(title=f"{run.dataset.name}, {run.metrics['split']}: {run.name}".replace("$", r"\$"), xlim=(0, None))
        axes.set_xlabel("attention (in brackets: images with the part)")
        axes.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
    return path
