"""Fingerprints: the first difference is shown with the remedy."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_cache.base.errors import UserError
from data_cache.parts.fingerprints import first_difference, require_fingerprint

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(st.text(max_size=3), JSON, max_size=3)


def without_none(value: Any) -> Any:
    """Return a value without the None values of its objects, which equal missing ones."""
    if not isinstance(value, dict):
        return value
    return {key: without_none(inner) for key, inner in value.items() if inner is not None}


@given(OBJECT, OBJECT)
def test_a_difference_is_reported_if_and_only_if_there_is_one(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert first_difference(one, dict(reversed(one.items()))) is None
    there, back = first_difference(one, other), first_difference(other, one)
    assert (there is None) == (back is None) == (without_none(one) == without_none(other))
    if there is not None and back is not None:
        assert there[0] == back[0] and there[1:] == back[:0:-1]


def test_difference_is_shown_with_the_remedy() -> None:
    path = Path("runs/parts.h5")
    made = {"detector": "ssd", "top_k": 16, "versions": {"torch": "2.14"}}
    require_fingerprint(made, made | {"limit": None, "versions": {"torch": "2.14", "h5py": None}}, path)
    with pytest.raises(UserError) as caught:
        require_fingerprint(made, made | {"top_k": 8}, path)
    assert str(caught.value) == (
        "runs/parts.h5: made with top_k = 16, this run needs 8; delete it, or choose another file with --output"
    )
    with pytest.raises(UserError, match=r"seed = None, this run needs 3; do it again"):
        require_fingerprint(made, made | {"seed": 3}, path, "do it again")


@pytest.mark.parametrize("fingerprint", [[], "made", None, 3])
def test_fingerprint_that_is_no_object_is_damage(fingerprint: Any) -> None:
    with pytest.raises(UserError, match=r"parts\.h5: damaged, its fingerprint is not an object; do it again"):
        require_fingerprint(fingerprint, {"detector": "ssd"}, Path("parts.h5"), "do it again")
