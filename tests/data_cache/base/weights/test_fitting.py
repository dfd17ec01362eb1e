"""A network is found by its names wherever it lies in a file, and only there; what was unwrapped is one line."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from data_cache.base.errors import UserError
from data_cache.base.weights.fitting import Found, Spelling, cleaned_names, find_network
from data_cache.base.weights.reading import state_dicts

State = dict[str, Tensor]

NAMES = (
    "conv1.weight",
    "bn1.running_mean",
    "bn1.num_batches_tracked",
    "layer1.0.conv1.weight",
    "layer1.1.conv1.weight",
)
PREFIXES = (
    "module.",
    "backbone.",
    "base.",
    "model.",
    "encoder.",
    "module.encoder_q.",
    "0.",
    "net.0.",
    "conv1.",
    "layer1.0.",
)
WRAPPERS = ("state_dict", "model", "net", "model_state_dict", "state", "classy_state_dict", "a.b")
INSERTED = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
HEADS = ("fc.weight", "classifier.bias", "head.0.weight", "queue", "neck.conv.weight")
EXPECTED: State = {
    name: torch.zeros(()) if name.endswith("tracked") else torch.zeros(2 + number, 3)
    for number, name in enumerate(NAMES)
}
THEIRS = Spelling({f"x{number}.w": name for number, name in enumerate(NAMES)}, "elsewhere")


def network(seed: int) -> State:
    generator = torch.Generator().manual_seed(seed)
    made = {name: torch.randn(value.shape, generator=generator) for name, value in EXPECTED.items()}
    return made | {"bn1.num_batches_tracked": torch.tensor(seed)}


def found(content: object, **more: Any) -> Found:
    plain = Spelling({name: name for name in NAMES})
    return find_network("w.pth", [*state_dicts(content)], [plain, THEIRS], EXPECTED, network="toy", **more)


def same(first: State, second: State) -> bool:
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: value for name, value in state.items()}


@st.composite
def wrappings(draw: st.DrawFn) -> tuple[Any, bool]:
    """Draw a file's content around network 1, and whether anything had to be unwrapped."""
    state, plain = network(1), True
    if draw(st.booleans()):
        state, plain = {theirs: state[ours] for theirs, ours in THEIRS.names.items()}, False
    if draw(st.booleans()):
        state = {name: value for name, value in state.items() if value.ndim}  # of a torch without counters
    heads = {name: torch.zeros(5, 5) for name in draw(st.sets(st.sampled_from(HEADS)))}
    state |= heads
    plain = plain and all(name.startswith(("fc.", "classifier.")) for name in heads)
    if draw(st.booleans()):  # a module that torch wraps
        part = draw(st.sampled_from(INSERTED))
        first = draw(st.sampled_from([name.partition(".")[0] for name in state]))
        renamed = {
            name: name.replace(f"{first}.", f"{first}.{part}.", 1) for name in state if name.startswith(f"{first}.")
        }
        state, plain = {renamed.get(name, name): value for name, value in state.items()}, plain and not renamed
    for prefix in draw(st.lists(st.sampled_from(PREFIXES), max_size=3)):
        state, plain = prefixed(state, prefix), False
    if draw(st.booleans()):
        state, plain = {"epoch_mean": torch.zeros(1)} | state, False
    content: dict[Any, Any] = dict(draw(st.permutations([*state.items()])))
    for wrapper in draw(st.lists(st.sampled_from(WRAPPERS), max_size=3)):
        optimizer = {"state": {0: {"exp_avg": torch.zeros(2), "step": torch.tensor(1.0)}}, "param_groups": [{"lr": 1}]}
        content, plain = {"epoch": 3, wrapper: content, "optimizer": optimizer}, False
    return content, plain


@given(wrappings())
@settings(max_examples=300, deadline=None)
def test_the_network_is_found_in_every_wrapping_and_what_was_unwrapped_is_said(drawn: tuple[Any, bool]) -> None:
    content, plain = drawn
    result = found(content)
    assert same(result.tensors, {name: network(1)[name] for name in result.tensors})
    assert {*NAMES} - {*result.tensors} <= {"bn1.num_batches_tracked"}
    assert (result.line == "") == plain and result.line.isprintable()


@given(wrappings(), st.sampled_from([name for name in NAMES if not name.endswith("tracked")]), st.integers(0, 2))
@settings(max_examples=150, deadline=None)
def test_a_network_that_differs_is_refused_in_every_wrapping(drawn: tuple[Any, bool], name: str, kind: int) -> None:
    """One tensor is missing, has another shape, or stands in the midst of the network and is unknown."""
    value = network(1)[name]

    def changed(content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        out: dict[Any, Any] = {}
        for key, one in content.items():
            if not (isinstance(one, Tensor) and one.shape == value.shape and torch.equal(one, value)):
                out[key] = changed(one)
            elif kind == 1:
                out[key] = one[1:]
            elif kind == 2:
                out |= {key: one, f"{key}_more": one}
        return out

    with pytest.raises(UserError, match=r"^w\.pth: not the weights of toy: .*; the file holds \d+ tensors") as caught:
        found(changed(drawn[0]))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (network(1), ""),
        (network(1) | {"fc.weight": torch.zeros(2)}, ""),
        ({"state_dict": prefixed(network(1), "module.")}, "took `state_dict`, prefix `module.` removed"),
        (prefixed(network(1), "_orig_mod."), "`_orig_mod.` removed from names"),
        (prefixed(network(1), "_orig_mod.module."), "prefix `module.` removed, `_orig_mod.` removed from names"),
        (
            prefixed(network(1) | {"heads.weight": torch.zeros(1)}, "backbone.") | {"queue": torch.zeros(1)},
            "prefix `backbone.` removed, 2 other tensors not used (heads, queue)",
        ),
        ({f"x{number}.w": network(1)[name] for number, name in enumerate(NAMES)}, "names as in elsewhere"),
        ({"epoch": 3, "a": {"b": network(1)}}, "took `a.b`"),
    ],
)
def test_the_line_says_what_was_unwrapped(content: object, line: str) -> None:
    result = found(content)
    assert result.line == line and same(result.tensors, network(1))


@pytest.mark.parametrize(
    ("trained", "average"),
    [
        ("model", "model_ema"),
        ("state_dict", "state_dict_ema"),
        ("state_dict", "ema_state_dict"),
        ("model", "ema"),
        ("student", "teacher"),
        ("model", "swa_model"),
        ("online_network", "target_network"),
    ],
)
def test_trained_weights_come_before_their_average(trained: str, average: str) -> None:
    for order in ((trained, average), (average, trained)):
        content = {key: network(1 if key == trained else 2) for key in order}
        assert same(found(content).tensors, network(1))
        assert found(content).line == f"took `{trained}`, `{average}` would fit too, averages are not used"
        flat = {f"{key}.{name}": value for key, state in content.items() for name, value in state.items()}
        assert same(found(flat).tensors, network(1))
    assert same(found({average: network(2)}).tensors, network(2))


def test_the_query_encoder_of_a_contrastive_training_is_taken() -> None:
    query, key = prefixed(network(1), "module.encoder_q."), prefixed(network(2), "module.encoder_k.")
    content = {"epoch": 200, "arch": "resnet50", "state_dict": key | query | {"module.queue": torch.zeros(4, 4)}}
    result = found(content)
    assert same(result.tensors, network(1))
    assert result.line.startswith("took `state_dict`, prefix `module.encoder_q.` removed, 6 other tensors not used (")
    assert result.line.endswith(", `state_dict.module.encoder_k` would fit too, averages are not used")


def test_two_networks_that_fit_are_refused_unless_they_are_equal() -> None:
    with pytest.raises(UserError, match="two networks fit, `net_a` and `net_b`; save the one that is meant"):
        found({"net_a": network(1), "net_b": network(2)})
    assert same(found({"net_a": network(1), "net_b": network(1)}).tensors, network(1))


def test_another_network_beside_the_right_one_does_not_matter() -> None:
    larger = {"layer1.2.conv1.weight": torch.zeros(1)}
    for content in (
        {"student": network(1), "teacher": network(2) | larger},
        {"a": network(2) | larger, "b": network(1)},
    ):
        assert same(found(content).tensors, network(1))


def test_what_was_found_and_what_was_expected_are_named() -> None:
    with pytest.raises(UserError) as caught:
        found(
            {
                "model": {"stem.weight": torch.zeros(4, 3), "\x1b[31m": torch.zeros(1)},
                "optimizer": {"step": torch.ones(1)},
            }
        )
    assert str(caught.value) == (
        "w.pth: not the weights of toy: 5 missing, first conv1.weight, bn1.running_mean, bn1.num_batches_tracked; the "
        "file holds 2 tensors in `model`, first stem.weight (4, 3), \\x1b[31m (1,)"
    )


def test_optional_tensors_may_be_missing_or_of_another_shape() -> None:
    name = "layer1.1.conv1.weight"
    rest = {key: value for key, value in network(1).items() if key != name}
    for content in (rest, rest | {name: torch.zeros(1)}):
        assert same(found(content, optional=[name]).tensors, rest)
    assert same(found(network(1), optional=[name]).tensors, network(1))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (torch.full((2, 3), float("nan")), "conv1.weight is not finite"),
        (torch.full((2, 3), float("inf")), "conv1.weight is not finite"),
        (torch.ones(2, 3, dtype=torch.int8), "conv1.weight is no dense tensor of floats"),
        (torch.ones(2, 3).to_sparse(), "conv1.weight is no dense tensor of floats"),
        (torch.ones(2, 3, device="meta"), "conv1.weight is no dense tensor of floats"),
        (torch.ones(2, 3, dtype=torch.complex64), "conv1.weight is no dense tensor of floats"),
    ],
)
def test_weights_that_are_not_finite_floats_are_refused(value: Tensor, reason: str) -> None:
    with pytest.raises(UserError, match=rf"^w\.pth: {reason}"):
        found(network(1) | {"conv1.weight": value})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_are_kept(dtype: torch.dtype) -> None:
    state = {name: value.to(dtype) if value.ndim else value for name, value in network(1).items()}
    assert same(found({"model": state}).tensors, state)


def test_hostile_names_take_no_time() -> None:
    """Each name would be a place of its own."""
    names = {f"{number}.conv1.weight": torch.zeros(1) for number in range(30_000)} | {"." * 1_000_000: torch.zeros(1)}
    with pytest.raises(UserError, match="not the weights of toy"):
        found(names)


@given(
    st.lists(st.sampled_from(["a", "b", *INSERTED, "_orig_mod.a", "a._orig_mod.b", "b._orig_mod", "a.b"]), unique=True)
)
def test_cleaned_names_stay_apart(names: list[str]) -> None:
    cleaned = cleaned_names(names)
    assert sorted(cleaned.values()) == sorted(names)
