"""Labels and parts: spellings of a name, the labels of VAC21, and mapping files."""

import json
from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from data_cache.parts.names import PART_NAMES
from detect.annotations.faults import AnnotationFaults
from detect.annotations.part_mapping import (
    PARTS,
    VAC21,
    VEHICLE_STYLES,
    PartMapping,
    normal_form,
    read_mapping,
    suggestion,
)

# appendix A.1 of arXiv 1909.06023: its Table 4 row by row, and the vehicle styles as quoted there
TABLE_4 = """annual service signs,car topwindow,light cover,plate,back mirror,entry license,logo,safe belt,
car light,hanging,newer sign,wheel,carrier,lay ornament,tissuebox,wind-shield glass"""
STYLES = ("car", "trunk", "tricycle", "train", "bus")


def spellings(name: str) -> list[str]:
    words = name.replace("-", " ").split()
    joined = [separator.join(words) for separator in (" ", "_", "-", "", "  ", "\u2011", " - ")]
    return [name, *joined, *(text.upper() for text in joined), "".join(word.title() for word in words), f" {name}\n"]


def test_every_label_of_vac21_is_a_part_or_dropped() -> None:
    parts = [name.strip() for name in TABLE_4.split(",")]
    labels = [*parts, *STYLES]
    assert len(labels) == 21 and {VAC21.get(name) for name in parts} == set(PART_NAMES)
    assert all(VAC21.get(label) == (label if label in parts else None) for label in labels)
    assert all(VAC21.drops(label) == (label in STYLES) for label in labels)
    assert set(VAC21.targets) == {normal_form(label) for label in (*labels, "truck")}
    assert set(VEHICLE_STYLES) == {*STYLES, "truck"}


@pytest.mark.parametrize("name", PART_NAMES)
def test_all_spellings_of_a_part_are_recognised(name: str) -> None:
    for spelling in spellings(name):
        assert spelling in PARTS and PARTS.get(spelling) == VAC21.get(spelling) == name


@pytest.mark.parametrize("label", ["mirror", "wheels", "windglass", "car lights", "", "-", "light"])
def test_similar_names_are_not_recognised(label: str) -> None:
    assert label not in PARTS and label not in VAC21 and not VAC21.drops(label)


def test_the_most_similar_part_is_suggested() -> None:
    assert suggestion("Car_Ligth") == "; did you mean 'car light'?"
    assert suggestion("windglass") == "; did you mean 'wind-shield glass'?"
    assert suggestion("bumper") == suggestion("") == ""


def test_mapping_file_overrides_vac21(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    path.write_text(
        json.dumps({"Head_Light": "Car Light", "windglass": "windshield-glass", "bumper": None, "Bus": "logo"})
    )
    mapping = read_mapping(path)
    assert mapping.get("head light") == "car light" and mapping.get("WindGlass") == "wind-shield glass"
    assert mapping.drops("bumper") and mapping.get("bus") == "logo" and mapping.drops("train")
    assert mapping.get("wheel") == "wheel" and "head light" not in VAC21


def test_every_wrong_entry_of_a_mapping_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    path.write_text(json.dumps({"a": "car ligth", "b": 3, "c": "logo", "C": None, "d": ["logo"], "e": "car"}))
    with pytest.raises(AnnotationFaults, match=r"the parts are annual service signs.*null drops a label") as raised:
        read_mapping(path)
    assert [line.removeprefix(f"{path}: label ") for line in raised.value.faults] == [
        "'a' is mapped to 'car ligth', which is not a part; did you mean 'car light'?",
        "'b' is mapped to 3, which is not a part",
        "'C' is given twice (compared as 'c')",
        "'d' is mapped to ['logo'], which is not a part",
        "'e' is mapped to 'car', which is not a part; did you mean 'carrier'?",
    ]


@pytest.mark.parametrize(("text", "reason"), [("[]", "not a JSON object"), ("{", "cannot be read as JSON")])
def test_file_without_a_json_object_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "map.json").write_text(text)
    with pytest.raises(UserError, match=reason):
        read_mapping(tmp_path / "map.json")


@pytest.mark.parametrize("targets", [{"logo": "bumper"}, {"Logo": "logo"}])
def test_mapping_validates_its_targets(targets: dict[str, str | None]) -> None:
    with pytest.raises(ValueError, match="not a normal form, or not a part"):
        PartMapping(targets)
