"""A network found in the state dicts of a file: inside wrappers, behind prefixes, under the names of other programs.

The place is found by the names that the network has, so no list of prefixes is needed. Where several places fit, the
trained weights come before their moving average; two different networks that fit equally well are refused.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from data_cache.base.errors import UserError, printable
from data_cache.base.weights.reading import SAVE_ALONE, StateDict

if TYPE_CHECKING:
    from torch import Tensor

COUNTER = ".num_batches_tracked"  # of batch norm: unused here, and absent from files of torch before 0.4.1
INSERTED = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})  # in names, by torch itself
AVERAGES = frozenset("avg average averaged ema k key m momentum shadow swa target teacher".split())
CLASSIFIERS = ("fc", "classifier")  # left out without a word
SHOWN = 3


@dataclass(frozen=True, eq=False)
class Spelling:
    """The names of a network in files of one origin -> the names that are asked for; no origin: they are the same.

    Other tensors in the network's modules say that it is another network, except in the modules `beside`.
    """

    names: Mapping[str, str]
    origin: str = ""
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Place:
    """A state dict, the prefix in it, and the spelling under which names of the network are found there."""

    state: StateDict
    prefix: str
    spelling: Spelling
    hits: int = 0

    @cached_property
    def names(self) -> dict[str, str]:
        """The names below the prefix, without it, and without what torch inserts -> the names in the file."""
        cleaned = cleaned_names(self.state.tensors)
        return {name.removeprefix(self.prefix): raw for name, raw in cleaned.items() if name.startswith(self.prefix)}

    @cached_property
    def tensors(self) -> "dict[str, Tensor]":
        """The network's tensors, under the names that are asked for."""
        found = self.names
        return {own: self.state.tensors[found[name]] for name, own in self.spelling.names.items() if name in found}

    def unexpected(self) -> "dict[str, Tensor]":
        """Return tensors inside the network's modules that it does not have, under the names in the file."""
        modules = {name.partition(".")[0] for name in self.spelling.names}
        return {
            raw: self.state.tensors[raw]
            for name, raw in self.names.items()
            if name not in self.spelling.names
            and name.partition(".")[0] in modules
            and not name.startswith(self.spelling.beside)
        }

    def is_average(self) -> bool:
        """Return whether wrapper or prefix call it a moving average."""
        words = re.split(r"[^a-z0-9]+", ".".join((*self.state.wrapper, self.prefix)).lower())
        return not AVERAGES.isdisjoint(words)

    def title(self) -> str:
        """Return wrapper and prefix, or "the whole file"."""
        return _quoted(".".join((*self.state.wrapper, self.prefix.removesuffix("."))).strip(".")) or "the whole file"

    def taken(self) -> list[str]:
        """Return what was unwrapped, in words; nothing if the file has the network's names as they are asked for."""
        words = [f"took {_quoted('.'.join(self.state.wrapper))}"] if self.state.wrapper else []
        if self.prefix:
            words.append(f"prefix {_quoted(self.prefix)} removed")
        inserted = sorted(INSERTED & {part for name in self.state.tensors for part in name.split(".")})
        words += [f"{_quoted(part + '.')} removed from names" for part in inserted]
        return words + ([f"names as in {self.spelling.origin}"] if self.spelling.origin else [])

    def unused(self) -> list[str]:
        """Return how many tensors beside the network are not used, in words; a classifier alone is not mentioned."""
        used = {self.names[name] for name in self.spelling.names if name in self.names}
        names = cleaned_names(self.state.tensors)
        rest = Counter(_module(name, self.prefix) for name, raw in names.items() if raw not in used)
        if set(rest) <= set(CLASSIFIERS):
            return []
        shown = ", ".join(printable(name)[:40] for name in [*rest][:SHOWN]) + (", ..." if len(rest) > SHOWN else "")
        return [f"{rest.total()} other tensors not used ({shown})"]


@dataclass(frozen=True, eq=False)
class Found:
    """The network's tensors under the names that were asked for; `line` says where they were found, "" if plainly."""

    tensors: "dict[str, Tensor]"
    line: str


def find_network(
    source: str,
    states: Sequence[StateDict],
    spellings: Sequence[Spelling],
    expected: "Mapping[str, Tensor]",
    *,
    network: str,
    optional: Iterable[str] = (),
) -> Found:
    """Return the tensors of `states` that are those of `expected`, by names and shapes.

    `optional` tensors may be missing or of another shape. Raises UserError, which calls the file `source`, if no place
    fits, if two that differ do, or if the tensors are not finite floats.
    """
    places, optional = find_places(states, spellings), frozenset(optional)
    least = sum(name not in optional and not name.endswith(COUNTER) for name in expected)
    fitting = [one for one in places if one.hits >= least and _differences(one, expected, optional) is None]
    if not fitting:
        alike = places and 2 * places[0].hits >= least  # otherwise its differences say nothing
        names = _differences(places[0], expected, optional) if alike else _listed("missing", [*expected])
        raise UserError(f"{source}: not the weights of {network}: {names}; {summary(states)}")
    place = choose(source, fitting)
    rivals = [one.title() for one in fitting if one is not place and not _same(one.tensors, place.tensors)]
    tensors = {
        name: value
        for name, value in place.tensors.items()
        if name not in optional or value.shape == expected[name].shape
    }
    require_plain(source, tensors)
    averages = [f"{' and '.join(rivals[:SHOWN])} would fit too, averages are not used"] if rivals else []
    return Found(tensors, ", ".join([*place.taken(), *place.unused(), *averages]))


def find_places(states: Sequence[StateDict], spellings: Sequence[Spelling]) -> list[Place]:
    """Return where names of a spelling are found, the place with the most of them first.

    >>> state = StateDict((), {"module.a.weight": None, "module.a.bias": None, "a.bias": None})
    >>> [(place.prefix, place.hits) for place in find_places([state], [Spelling({"a.weight": "", "a.bias": ""})])]
    [('module.', 2), ('', 1)]
    """
    places = []
    for state in states:
        parts = [name.split(".") for name in cleaned_names(state.tensors)]
        for spelling in spellings:
            depth = max(name.count(".") + 1 for name in spelling.names)
            hits = Counter(
                "".join(f"{part}." for part in name[:-length])
                for name in parts
                for length in range(1, min(depth, len(name)) + 1)
                if ".".join(name[-length:]) in spelling.names
            )
            places += [Place(state, prefix, spelling, count) for prefix, count in hits.items()]
    return sorted(places, key=lambda place: -place.hits)


def choose(source: str, places: Sequence[Place]) -> Place:
    """Return the first of places that fit, averages last. Raises UserError if another one holds other weights."""
    ranked = sorted(places, key=Place.is_average)
    best, *others = [place for place in ranked if place.is_average() == ranked[0].is_average()]
    for other in others:
        if not _same(best.tensors, other.tensors):
            raise UserError(
                f"{source}: two networks fit, {best.title()} and {other.title()}; save the one that is meant"
            )
    return best


def cleaned_names(names: Iterable[str]) -> dict[str, str]:
    """Return names without the parts that torch inserts -> names as given, which stay if two would become one.

    >>> cleaned_names(["_orig_mod.layer1._fsdp_wrapped_module.0.weight"])
    {'layer1.0.weight': '_orig_mod.layer1._fsdp_wrapped_module.0.weight'}
    """
    given = list(names)
    cleaned = {".".join(part for part in name.split(".") if part not in INSERTED): name for name in given}
    return cleaned if len(cleaned) == len(given) else {name: name for name in given}


def require_plain(source: str, tensors: "Mapping[str, Tensor]") -> None:
    """Raise UserError unless all tensors but counters are dense, finite floats."""
    import torch

    for name, value in tensors.items():
        dense = value.layout == torch.strided and not value.is_meta and not value.is_quantized
        if not dense or not (value.is_floating_point() or name.endswith(COUNTER)):
            raise UserError(f"{source}: {printable(name)} is no dense tensor of floats; {SAVE_ALONE}, in float32")
        if value.is_floating_point() and not value.float().isfinite().all():
            raise UserError(f"{source}: {printable(name)} is not finite, its training failed; give other weights")


def summary(states: Sequence[StateDict]) -> str:
    """Return what a file holds: the number of tensors of its largest state dict, and the first of them."""
    largest = max(states, key=lambda state: len(state.tensors))
    first = [f"{printable(name)[:120]} {tuple(value.shape)}" for name, value in [*largest.tensors.items()][:SHOWN]]
    place = f" in {_quoted('.'.join(largest.wrapper))}" if largest.wrapper else ""
    return f"the file holds {len(largest.tensors)} tensors{place}, first {', '.join(first)}"


def weight_differences(found: "Mapping[str, Tensor]", expected: "Mapping[str, Tensor]") -> str | None:
    """Return how two state dicts differ, or None: counts and first names of missing, unexpected, reshaped entries.

    Counters of batch norm may be missing from `found`.
    """
    differences = {
        "missing": [name for name in expected if name not in found and not name.endswith(COUNTER)],
        "unexpected": [name for name in found if name not in expected],
        "of another shape": [
            f"{name} {tuple(found[name].shape)} for {tuple(expected[name].shape)}"
            for name in expected
            if name in found and found[name].shape != expected[name].shape
        ],
    }
    return "; ".join(_listed(kind, names) for kind, names in differences.items() if names) or None


def _listed(kind: str, names: Sequence[str]) -> str:
    return f"{len(names)} {kind}, first {', '.join(printable(name)[:120] for name in names[:SHOWN])}"


def _differences(place: Place, expected: "Mapping[str, Tensor]", optional: frozenset[str]) -> str | None:
    required = {name: value for name, value in expected.items() if name not in optional}
    found = {name: value for name, value in place.tensors.items() if name in required}
    return weight_differences(place.unexpected() | found, required)


def _same(first: "Mapping[str, Tensor]", second: "Mapping[str, Tensor]") -> bool:
    """Return whether two networks have equal tensors; an average of 0 steps counts as the same."""
    return first.keys() == second.keys() and all(
        value is second[name] or (value.shape == second[name].shape and value.equal(second[name]))
        for name, value in first.items()
    )


def _module(name: str, prefix: str) -> str:
    """Return the first part of a name where it leaves the prefix.

    >>> _module("module.neck.0.weight", "module.backbone.")
    'neck'
    """
    steps = itertools.zip_longest(name.split("."), prefix.split("."))
    return next(part for part, common in steps if part is None or part != common) or name


def _quoted(text: str) -> str:
    return f"`{printable(text)[:120]}`" if text else ""
