"""`parts convert` and `parts check`: tables, JSON, one line per fault, exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli import Group
from detect.annotations.reading import read_annotations
from detect.commands.convert import check_annotations, convert
from helpers.toy.annotations import toy_set
from helpers.toy.voc import write_picture, write_voc


def run(*words: object) -> Result:
    main = Group("main", commands={command.name or "": command for command in (convert, check_annotations)})
    return CliRunner().invoke(main, [str(word) for word in words])


def voc(folder: Path, label: str = "back_mirror") -> Path:
    write_picture(folder / "images/7_c1.png")
    write_voc(
        folder / "xml/a.xml", "7_c1.png", [(label, (1, 1, 9, 9)), ("bus", (1, 1, 99, 99)), ("logo", (11, 3, 20, 8))]
    )
    return folder / "xml"


def test_voc_is_converted_and_label_uses_are_shown(tmp_path: Path) -> None:
    output, where = tmp_path / "out/parts.json", ["--voc", voc(tmp_path), "--images", tmp_path / "images"]
    result = run("convert", *where, "--output", output, "--vehicle-pattern", r"(\d+)_c\d")
    assert result.exit_code == 0, result.output
    rows = [line.replace("│", " ").split() for line in result.stdout.splitlines()]
    assert ["back_mirror", "back", "mirror", "1"] in rows and ["bus", "dropped", "1"] in rows
    assert f"{output}: 2 parts in 1 images of 160 x 120 to 160 x 120 pixels, 0 without a part" in result.stdout
    (image,) = read_annotations(output, tmp_path / "images")
    assert image.vehicle == "7" and image.boxes.tolist() == [[0, 0, 9, 9], [10, 2, 20, 8]]


def test_first_pixel_0_and_json_output(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    write_voc(tmp_path / "a.xml", "a.png", [("logo", (1, 2, 9, 9))])
    result = run("convert", "--voc", tmp_path, "--first-pixel", 0, "--output", tmp_path / "parts.json", "--json")
    printed = json.loads(result.stdout)
    assert printed["written"]["parts"] == 1 and printed["labels"] == [{"label": "logo", "part": "logo", "objects": 1}]
    assert read_annotations(tmp_path / "parts.json", tmp_path)[0].boxes.tolist() == [[1, 2, 9, 9]]


def test_coco_is_converted_with_a_mapping_file(tmp_path: Path) -> None:
    path = toy_set(tmp_path, 4)
    path.write_text(path.read_text().replace('"wheel"', '"tyre"'))
    (tmp_path / "map.json").write_text('{"tyre": "wheel"}')
    output = tmp_path / "out.json"
    assert run("convert", "--coco", path, "--output", output).exit_code == 1
    assert not output.exists()
    assert run("convert", "--coco", path, "--output", output, "--map", tmp_path / "map.json").exit_code == 0
    assert run("check", "--annotations", output).exit_code == 0


def test_every_fault_of_a_conversion_is_one_line(tmp_path: Path) -> None:
    where = ["--voc", voc(tmp_path, label="[red]mirror"), "--output", tmp_path / "parts.json"]
    result = run("convert", *where)
    faults = result.stdout.splitlines()
    assert result.exit_code == 1 and len(faults) == 2 and not (tmp_path / "parts.json").exists()
    assert faults[0].startswith(f"{tmp_path}/xml: label '[red]mirror' (1 object, first a.xml, object 1)")
    assert faults[1].startswith(f"{tmp_path}/xml: a.xml: '7_c1.png' is missing below {tmp_path}/xml")
    assert result.stderr.startswith(f"Error: {tmp_path}/xml: 2 faults: ") and result.stderr.count("\n") == 1
    assert json.loads(run("convert", *where, "--json").stdout) == {"faults": faults}


def test_labels_are_not_rendered_as_markup(tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text('{"[red]mirror": "back mirror"}')
    where = ["--voc", voc(tmp_path, label="[red]mirror"), "--images", tmp_path / "images"]
    result = run("convert", *where, "--map", tmp_path / "map.json", "--output", tmp_path / "parts.json")
    assert "[red]mirror" in result.stdout


def test_every_fault_of_a_mapping_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text('{"a": "b", "c": 1}')
    where = ["--voc", voc(tmp_path), "--map", tmp_path / "map.json", "--output", tmp_path / "parts.json"]
    result = run("convert", *where)
    assert result.exit_code == 1 and len(result.stdout.splitlines()) == 2
    assert result.stderr.startswith(f"Error: {tmp_path}/map.json: 2 faults: label 'a' is mapped to 'b'")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "give either --voc FOLDER or --coco FILE"),
        (["--voc", ".", "--coco", "a.json"], "give either --voc FOLDER or --coco FILE"),
        (["--coco", "a.json", "--first-pixel", "1"], "--first-pixel needs --voc"),
        (["--voc", ".", "--first-pixel", "2"], "is not in the range"),
        (["--voc", ".", "--vehicle-pattern", "("], "is not a regular expression"),
        (["--voc", ".", "--vehicle-pattern", r"\d+"], "has 0 groups; it needs one"),
    ],
)
def test_wrong_usage_exits_with_2(words: list[str], reason: str) -> None:
    result = run("convert", *words, "--output", "out.json")
    assert result.exit_code == 2 and reason in " ".join(result.output.replace("│", " ").split())


def test_check_counts_the_parts_of_a_valid_file(tmp_path: Path) -> None:
    path = toy_set(tmp_path, 6)
    result = run("check", "--annotations", path)
    assert result.exit_code == 0 and f"{path}: 24 parts in 6 images of 160 x 120 to 160 x 120" in result.stdout
    assert "3 vehicles; 0 images without vehicle" in result.stdout and "wind-shield glass" in result.stdout
    printed = json.loads(run("check", "--annotations", path, "--images", tmp_path, "--json").stdout)
    assert printed["faults"] == [] and printed["summary"]["parts"] == 24
    assert sum(part["boxes"] for part in printed["summary"]["by_part"]) == 24


def test_check_prints_one_line_per_fault(tmp_path: Path) -> None:
    path = toy_set(tmp_path, 3)
    path.write_text(path.read_text().replace('"width": 160', '"width": 161').replace('"iscrowd": 0', '"iscrowd": 1', 1))
    result = run("check", "--annotations", path, "--strict")
    faults = result.stdout.splitlines()
    assert result.exit_code == 1 and len(faults) == 4
    assert faults[0].startswith(f"{path}: annotations[0] (id 1): `iscrowd` marks a group")
    assert all(line.endswith("160 x 120 pixels, annotated as 161 x 120") for line in faults[1:])
    assert result.stderr == f"Error: {path}: 4 faults; correct them before training\n"
    printed = json.loads(run("check", "--annotations", path, "--strict", "--json").stdout)
    assert printed == {"annotations": str(path), "faults": faults, "summary": None, "notes": []}
    printed = json.loads(run("check", "--annotations", path, "--json").stdout)
    assert printed["faults"] == faults[1:] and printed["notes"] == ["1 crowds were taken as one part each"]


def test_missing_file_is_reported_in_one_line(tmp_path: Path) -> None:
    for words in (
        ["check", "--annotations", tmp_path / "no.json"],
        ["convert", "--coco", tmp_path / "no.json", "--output", "x"],
    ):
        result = run(*words)
        assert result.exit_code == 1 and result.stderr == f"Error: {tmp_path}/no.json: no such file\n"


def test_help_shows_examples_without_heavy_imports() -> None:
    code = (
        "import sys; from click.testing import CliRunner\n"
        "from detect.commands.convert import check_annotations, convert\n"
        "for command in (convert, check_annotations): print(CliRunner().invoke(command, ['--help']).output)\n"
        "assert not {'torch', 'pandas', 'numpy', 'PIL', 'rich'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for command in ("parts convert --voc", "parts convert --coco", "parts check --annotations"):
        assert f"python cli.py {command}" in done.stdout
