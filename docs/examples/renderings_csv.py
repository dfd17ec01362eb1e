"""Write one CSV of several rendered sets, all of whose vehicles are for training, with the test of a photographs' CSV.

The first training of the network that ships: vehicles of each set get names of their own. The folders lie below one
--data-root, and the photographs in `photos` there.

    python docs/examples/renderings_csv.py data/ship data/photographs.csv data/renderings.csv wide201 wide202 wide301
"""

import csv
import sys
from pathlib import Path

FIELDS = ("name", "vehicle_id", "camera_id", "split")


def rows_of(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def main() -> None:
    """Write the CSV; the arguments are the root, the photographs' CSV, the CSV to write, and the rendered sets."""
    if len(sys.argv) < 5:
        raise SystemExit(__doc__)
    root, photographs, target = map(Path, sys.argv[1:4])
    table = [
        (f"{name}/{row['name']}", f"{name}-{row['vehicle_id']}", row["camera_id"], "train")
        for name in sys.argv[4:]
        for row in rows_of(root / name / "images.csv")
    ]
    tested = (row for row in rows_of(photographs) if row["split"] != "train")
    table += [(f"photos/{Path(row['name']).name}", *(row[field] for field in FIELDS[1:])) for row in tested]
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(FIELDS)
        writer.writerows(table)


if __name__ == "__main__":
    main()
