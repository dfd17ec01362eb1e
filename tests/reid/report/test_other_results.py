"""The tables of the ablation, read back: all of a test, none of another, and what is no table is refused."""

from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from reid.report.ablation_tables import read_ablation_tables

SPLITS = ("small", "medium", "large")
TEXT = """# Table 1: losses

|          |        mAP | paper mAP |        run |
| :------- | ---------: | --------: | ---------: |
| baseline | 56.1 ± 0.4 |      75.7 | `baseline` |
| PGAN     | not run yet |          |     `pgan` |

- Percent. Paper: VeRi-776.
- Command: `python cli.py ablate --table 1`
"""


def test_a_table_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "table-1.md").write_text(TEXT)
    (tmp_path / "table-1.png").write_bytes(b"png")
    (table,) = read_ablation_tables(tmp_path, "large", SPLITS)
    assert table.title == "Table 1: losses" and table.headings == ("", "mAP", "paper mAP", "run")
    assert table.rows == (("baseline", "56.1 ± 0.4", "75.7", "baseline"), ("PGAN", "not run yet", "", "pgan"))
    assert table.notes == ("Percent. Paper: VeRi-776.", "Command: python cli.py ablate --table 1")
    assert table.picture == b"png"


def test_a_test_has_its_own_tables_and_the_default_has_no_suffix(tmp_path: Path) -> None:
    for name in ("table-2", "table-1", "figure-3", "table-1-small", "table-oracle-medium", "notes", "table-1-extra"):
        (tmp_path / f"{name}.md").write_text(TEXT.replace("Table 1: losses", name))
    found = {split: [table.title for table in read_ablation_tables(tmp_path, split, SPLITS)] for split in SPLITS}
    assert found == {
        "large": ["figure-3", "table-1", "table-1-extra", "table-2"],
        "medium": ["table-oracle-medium"],
        "small": ["table-1-small"],
    }


def test_without_tables_there_are_none(tmp_path: Path) -> None:
    assert read_ablation_tables(tmp_path / "absent", "large", SPLITS) == []
    (tmp_path / "table-1.md").write_text(TEXT)
    assert read_ablation_tables(tmp_path, "large", SPLITS)[0].picture is None


@pytest.mark.parametrize(
    "text", ["", "# Title\n\nno table", TEXT.removeprefix("# Table"), TEXT + "| short |\n", "\ud800"]
)
def test_what_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "table-1.md").write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(UserError, match=r"table-1\.md: .*run `python cli\.py ablate` again"):
        read_ablation_tables(tmp_path, "large", SPLITS)
