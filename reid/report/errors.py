"""What the wrong first matches have in common, and what tells a vehicle from the one that is most like it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from data_cache.images.loading import load_image
from data_cache.parts.selection import useful_boxes
from reid.report.decisions import Decisions
from reid.report.evaluated_run import EvaluatedRun
from reid.retrieval.ranked_lists import best_true_and_wrong
from reid.retrieval.ranking import Mask, Numbers, cosine_scores, labelled_trials, rank_queries

LOOKS = ("fleet", "model", "type", "body", "colour", "color")  # columns that look-alikes share
TWINS = ": twins"
SMALL = 80  # pixels of the shorter side
DARK = 60  # mean grey value, of 255
FEW_IN_COMMON = 1 / 3  # kinds of parts, of those that either picture shows
SAMPLE = 500  # queries of either kind whose pictures are read
SHOWN = 6


@dataclass(frozen=True)
class ErrorKind:
    """Something that `count` wrong first matches are or have, `share` of them; `usual` is its share of `usual_of`."""

    name: str
    count: int
    share: float
    usual: float
    usual_of: str


@dataclass(frozen=True)
class WrongMatch:
    """A query whose first image is wrong, and its best true match with its rank; `kinds` names its ErrorKinds."""

    query: str
    first: str
    first_score: float
    match: str
    match_score: float
    match_rank: int
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Errors:
    """The `wrong` first matches of the `queries` that have a match; `examples` are those with the highest scores."""

    queries: int
    wrong: int
    kinds: tuple[ErrorKind, ...]
    examples: tuple[WrongMatch, ...]


@dataclass(frozen=True)
class PartOfMargin:
    """What covering a kind of part takes from the margin of a true match to the best wrong one, as a share of it.

    `queries` of the sample show the part.
    """

    part: str
    queries: int
    share: float


class Firsts:
    """The best true and the best wrong gallery image of each query of a run's test, by rows of the data set's table.

    All arrays are of the Q queries that have both. `query`, `match` and `wrong` are rows; `match_score` and
    `wrong_score` cosines; `rank` is the rank of the match. A match that is no better than the wrong image counts as
    wrong, as in the scores. `positives` is of all queries: the number of images in the gallery that match.
    """

    def __init__(self, run: EvaluatedRun) -> None:
        """Rank the test. Raises UserError if an image has no feature."""
        self.run, protocol = run, run.protocol()
        trial, names = protocol.trials[0], run.dataset.table["name"]
        labels = labelled_trials(run.dataset.table, protocol)[0]
        query, gallery = (run.features.of(names.iloc[rows]) for rows in (trial.query, trial.gallery))
        match, wrong = best_true_and_wrong(query, gallery, labels)
        ranks = rank_queries(cosine_scores(query, gallery), labels)
        self.positives = ranks.positives
        self.index = np.flatnonzero((match >= 0) & (wrong >= 0))  # of the test's queries
        match, wrong = match[self.index], wrong[self.index]
        self.query, self.match, self.wrong = trial.query[self.index], trial.gallery[match], trial.gallery[wrong]
        own = query[self.index]
        self.match_score, self.wrong_score = (
            np.einsum("qc,qc->q", own, gallery[rows]).astype(np.float64) for rows in (match, wrong)
        )
        self.rank, self.gallery = ranks.first_hit_rank[self.index], trial.gallery

    @cached_property
    def is_wrong(self) -> Mask:
        """Which first matches are wrong, (Q,)."""
        return np.asarray(self.rank > 1)

    def same(self, columns: Sequence[str]) -> Mask:
        """Return whether the best wrong image has the query's values, none empty, in all these columns, (Q,)."""
        codes = self._codes(columns)
        return np.asarray((codes[self.query] == codes[self.wrong]) & (codes[self.query] >= 0))

    def usual(self, columns: Sequence[str]) -> float:
        """Return the same as a share of all images of other vehicles in the gallery, over the wrong queries."""
        codes = self._codes(columns)
        vehicle = pd.factorize(self.run.dataset.table["vehicle_id"])[0]
        shares = []
        for row in self.query[self.is_wrong].tolist():
            others = vehicle[self.gallery] != vehicle[row]
            shares.append(float(((codes[self.gallery] == codes[row]) & (codes[row] >= 0))[others].mean()))
        return float(np.mean(shares)) if shares else 0.0

    def _codes(self, columns: Sequence[str]) -> Numbers:
        """Return a number for each different combination of values in these columns, -1 if one is empty."""
        values = self.run.dataset.table[list(columns)].astype(str)
        known = ((values != "") & (values != "-1")).all(axis=1).to_numpy()
        codes = values.groupby(list(columns), sort=False).ngroup().to_numpy(np.int64)
        return np.where(known, codes, -1)


def find_errors(firsts: Firsts, decisions: Decisions | None) -> Errors:
    """Return the wrong first matches of a run's test, by what they have in common. Kinds overlap.

    Raises UserError if a picture cannot be read.
    """
    run = firsts.run
    wrong, of_right = firsts.is_wrong, "the right first matches"
    members: dict[str, Mask] = {}
    kinds = []
    for name, columns in _looks(run.dataset.table):
        members[name] = firsts.same(columns)
        share = _share(members[name], wrong)
        kinds.append(ErrorKind(name, int((members[name] & wrong).sum()), share, firsts.usual(columns),
                               "the gallery's images of other vehicles"))  # fmt: skip
    for name, member, known, sample in _conditions(firsts, decisions):
        members[name] = member
        if (wrong & known).any():
            count = int((member & wrong).sum())
            shares = _share(member, wrong & known), _share(member, ~wrong & known)
            kinds.append(ErrorKind(f"{name}{sample}", count, *shares, of_right))
    order = np.argsort(-firsts.wrong_score, kind="stable")
    names = run.dataset.table["name"]
    examples = tuple(
        WrongMatch(
            query=str(names.iat[firsts.query[row]]),
            first=str(names.iat[firsts.wrong[row]]),
            first_score=float(firsts.wrong_score[row]),
            match=str(names.iat[firsts.match[row]]),
            match_score=float(firsts.match_score[row]),
            match_rank=int(firsts.rank[row]),
            kinds=_named(members, row),
        )
        for row in order[wrong[order]][:SHOWN].tolist()
    )
    return Errors(len(wrong), int(wrong.sum()), tuple(kinds), examples)


def _named(members: Mapping[str, Mask], row: int) -> tuple[str, ...]:
    """Return the kinds that a query has; twins are not named by each column again."""
    names = [name for name, member in members.items() if member[row]]
    twins = any(name.endswith(TWINS) for name in names)
    return tuple(name for name in names if not (twins and name.startswith("same ") and not name.endswith(TWINS)))


def _looks(table: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Return the kinds of errors by columns: look-alikes in everything that is known, in each, and the camera."""
    known = [column for column in LOOKS if column in table and (table[column].astype(str) != "").any()]
    kinds = [(f"same {', '.join(known)}{TWINS}", known)] if len(known) > 1 else []
    kinds += [(f"same {column}", [column]) for column in known]
    return [*kinds, ("by the query's own camera", ["camera_id"])] if (table["camera_id"] >= 0).any() else kinds


class _Condition(NamedTuple):
    """A condition of the queries: which queries meet it (Q,), and of which queries it is known (Q,).

    `sample` follows the name where only some queries are looked at, "" otherwise.
    """

    name: str
    member: Mask
    known: Mask
    sample: str = ""


def _conditions(firsts: Firsts, decisions: Decisions | None) -> list[_Condition]:
    """Return the conditions that are known of a run."""
    run = firsts.run
    names = run.dataset.table["name"]
    found: list[_Condition] = []
    everywhere = np.ones(len(firsts.query), bool)
    if run.parts.labels.shape[1]:
        rows, matches = (run.parts.rows(list(names.iloc[which])) for which in (firsts.query, firsts.match))
        shows = _kinds_shown(run)
        both = (shows[rows] & shows[matches]).sum(axis=1)
        either = (shows[rows] | shows[matches]).sum(axis=1)
        seen = either > 0
        found.append(
            _Condition(
                "few parts in common with the best true match",
                seen & (both < FEW_IN_COMMON * either),
                np.asarray(seen),
            )
        )
        sides = run.parts.image_size[rows].min(axis=1)
        found.append(_Condition(f"query below {SMALL} pixels", (sides > 0) & (sides < SMALL), np.asarray(sides > 0)))
    wrong, sampled = firsts.is_wrong, _sample(firsts.is_wrong)
    grey = np.full(len(everywhere), 255.0)
    for row in np.flatnonzero(sampled).tolist():
        path = run.dataset.path(str(names.iat[firsts.query[row]]))
        grey[row] = load_image(path, turned=run.parts.turned).mean()
    sample = f", in a sample of {(wrong & sampled).sum()} wrong and {(~wrong & sampled).sum()} right first matches"
    found.append(
        _Condition(f"dark query: mean grey below {DARK}", grey < DARK, sampled, "" if sampled.all() else sample)
    )
    if decisions is not None:
        refused = ~decisions.accepted[firsts.index]
        found.append(_Condition("not accepted by its confidence", refused, everywhere))
    return found


def _kinds_shown(run: EvaluatedRun) -> Mask:
    """Return which kinds of parts (K,) have a useful box in each image of the cache, (N, K)."""
    labels, useful = run.parts.labels, useful_boxes(run.parts)
    return np.stack([(useful & (labels == kind)).any(axis=1) for kind in range(len(run.parts.part_names))], axis=1)


def _sample(wrong: Mask) -> Mask:
    """Return up to SAMPLE of the wrong and of the right queries, by a fixed shuffle."""
    shuffle = np.random.default_rng(0).permutation(len(wrong))
    chosen = np.zeros(len(wrong), bool)
    for which in (wrong, ~wrong):
        chosen[shuffle[which[shuffle]][:SAMPLE]] = True
    return chosen


def margin_by_part(firsts: Firsts, count: int, *, device: str) -> list[PartOfMargin]:
    """Return what covering each kind of part does to the margin of right first matches, what takes most first.

    The margin of a query is its cosine with the best true match less that with the best wrong image. `count` queries
    are taken by a fixed shuffle, of those whose best wrong image is a twin as far as that is known. Empty for networks
    that read no part boxes. Raises UserError if the checkpoint changed since the evaluation.
    """
    run = firsts.run
    if not run.has_network or not run.parts.labels.shape[1]:
        return []
    names = run.dataset.table["name"]
    looks = _looks(run.dataset.table)
    right = ~firsts.is_wrong
    twins = right & firsts.same(looks[0][1]) if looks and looks[0][1] != ["camera_id"] else right
    usable = np.flatnonzero(twins if twins.any() else right)
    rows = np.random.default_rng(0).permutation(usable)[:count]
    triples = [
        tuple(str(names.iat[which[row]]) for which in (firsts.query, firsts.match, firsts.wrong)) for row in rows
    ]
    effects = run.margin_effects(triples, device=device)
    lost: dict[int, list[float]] = {}
    total = sum(effect.score for effect in effects)
    for (query, *_), effect in zip(triples, effects, strict=True):
        labels = run.parts.labels[int(run.parts.rows([query])[0]), : len(effect.parts)]
        for label in sorted(set(labels[labels >= 0].tolist())):
            lost.setdefault(label, []).append(-float(np.nansum(effect.parts[labels == label])))
    found = [PartOfMargin(run.parts.part_names[label], len(one), sum(one) / total) for label, one in lost.items()]
    return sorted(found, key=lambda part: -part.share)


def _share(member: Mask, among: Mask) -> float:
    return float((member & among).sum() / among.sum()) if among.any() else 0.0
