"""The page of answers: queries with their candidates and decisions. It needs no vehicles, and nothing is scored."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from data_cache.base.files import write_atomically
from data_cache.datasets.dataset import Dataset
from data_cache.datasets.protocols import Protocol
from reid.evaluation.answers import Answers, camera_names, image_ids, rows_of_csv
from reid.evaluation.calibration import CalibratedRun
from reid.report.decisions import describe_aim
from reid.report.html import TEMPLATES, PageImage, full_rows, in_order, page_image, render_page
from reid.report.pictures.thumbnails import photo_thumbnail
from reid.retrieval.open_set import Values
from reid.retrieval.ranking import Numbers

TEMPLATE = TEMPLATES / "answers.html.jinja"
HEIGHT = 160  # pixels of a thumbnail: 60 queries with ten candidates are about 5 MB
MOST_CANDIDATES = 10


@dataclass(frozen=True)
class AnswerImage:
    """An image: its picture, and what the user's CSV calls it, its row there from 0, and its camera, empty if unknown.

    `number` is its row in the data set's table.
    """

    number: int
    picture: PageImage
    name: str
    row: int
    camera: str


@dataclass(frozen=True)
class PageAnswer:
    """A query with its first candidates and their scores, best first, and the decision on it.

    `confidence` is None if the run is not calibrated; `accepted` is the candidate that is taken for the vehicle, if
    any. It is that of the plain scores, so that it may be another one than the first of a list that was changed.
    """

    query: AnswerImage
    candidates: tuple[tuple[AnswerImage, float], ...]
    confidence: float | None
    accepted: AnswerImage | None

    @property
    def verdict(self) -> str:
        """What the page's filter calls the decision."""
        return "refused" if self.accepted is None else "accepted"

    @property
    def accepted_is_not_first(self) -> bool:
        """Whether the accepted candidate is not the first of the list."""
        return self.accepted is not None and self.accepted.number != self.candidates[0][0].number


def write_answers_page(
    target: Path,
    dataset: Dataset,
    protocol: Protocol,
    lists: Answers,
    plain: Answers,
    calibrated: CalibratedRun | None,
    *,
    run: str,
    remedy: str,
    count: int,
    top_k: int,
    turned: bool = True,
) -> Path:
    """Write the page of `count` queries with their first `top_k` candidates to `target`, and return it.

    `lists` are what is shown, `plain` the same by plain scores, of which the decisions are: those of `candidates`. The
    queries are evenly spread over the confidence, or over the best score without a calibration; then `remedy`, the
    command that calibrates, is named instead. `run` is the run's name; `turned` says whether images are turned as EXIF
    says. Raises UserError if an image cannot be shown.
    """
    calibration = None if calibrated is None else calibrated.calibration
    values = lists.scores[:, 0].astype(np.float64) if calibration is None else plain.confidence(calibration)
    accepted = np.zeros_like(values, bool) if calibration is None else plain.accepted(calibration)
    image = _images(dataset, turned=turned)
    answers = [
        PageAnswer(
            image(int(lists.query[index])),
            tuple(
                (image(row), score)
                for row, score in zip(lists.best[index].tolist(), lists.scores[index].tolist(), strict=True)
                if row >= 0
            )[: min(top_k, MOST_CANDIDATES)],
            None if calibrated is None else float(values[index]),
            image(int(plain.best[index, 0])) if accepted[index] else None,
        )
        for index in evenly_spread(values, count).tolist()
    ]
    page = render_page(
        TEMPLATE,
        dataset=dataset.name,
        split=protocol.split,
        run=run,
        queries=len(lists.query),
        gallery=len(protocol.trials[0].gallery),
        tracks=None if protocol.trials[0].tracks is None else lists.gallery,
        accepted=int(accepted.sum()),
        threshold=None if calibrated is None else calibrated.calibration.threshold,
        aim=None if calibrated is None else describe_aim(calibrated.aim),
        remedy=remedy.strip("`"),
        changed=lists is not plain,
        answers=answers,
        cameras=in_order({answer.query.camera for answer in answers} - {""}),
        told_apart=told_apart,
        columns=full_rows(max((len(answer.candidates) for answer in answers), default=1)),
    )
    write_atomically(target, page.encode())
    return target


def told_apart(first: float, second: float) -> tuple[str, str]:
    """Return two different numbers as text, with three decimals, or with more if they would look the same.

    >>> told_apart(0.25, 0.5), told_apart(0.49996, 0.5)
    (('0.250', '0.500'), ('0.49996', '0.50000'))
    """
    for decimals in range(3, 18):
        texts = f"{first:.{decimals}f}", f"{second:.{decimals}f}"
        if texts[0] != texts[1]:
            break
    return texts


def evenly_spread(values: Values, count: int) -> Numbers:
    """Return the rows of `count` values (Q,), or of all, evenly spread from the largest to the lowest, both included.

    >>> evenly_spread(np.array([0.2, 0.9, 0.5, 0.7, 0.1]), 3).tolist()
    [1, 2, 4]
    """
    order = np.argsort(-values, kind="stable")
    count = min(count, len(order))
    return np.asarray(order[np.arange(count) * (len(order) - 1) // max(count - 1, 1)], np.int64)


def _images(dataset: Dataset, *, turned: bool) -> Callable[[int], AnswerImage]:
    """Return the function from a row of the data set's table to its image; each is read once."""
    table = dataset.table
    names, rows, cameras = image_ids(table), rows_of_csv(table), camera_names(table)

    @cache
    def image(number: int) -> AnswerImage:
        photo = photo_thumbnail(dataset, str(table["name"].iat[number]), height=HEIGHT, turned=turned)
        return AnswerImage(number, page_image(photo), str(names[number]), int(rows[number]), str(cameras[number]))

    return image
