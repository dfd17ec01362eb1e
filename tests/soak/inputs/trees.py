"""All that lies below a folder, as one value: to be compared, and to be laid down again."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

Tree = Mapping[str, bytes | None]  # content by path below the folder; None for a folder

# what is not the same from one run to the next: rates, times, and what was committed meanwhile
CHANGING = re.compile(
    rb'(?<="images_per_second": )[0-9.e+-]+|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00|(?<=Training time: )\d+ min \d+ s'
    rb"|\b[0-9a-f]{40}\b"
)
TEXTS = (".json", ".jsonl", ".md", ".html")


def read_tree(folder: Path) -> Tree:
    """Return what lies below the folder; links are not followed."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def lay(tree: Tree, folder: Path) -> None:
    """Make what lies below the folder equal to `tree`; what is equal already is not touched."""
    for path in sorted(folder.rglob("*"), reverse=True):
        name = path.relative_to(folder).as_posix()
        if name not in tree or (tree[name] is None) != path.is_dir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, content in tree.items():
        path = folder / name
        if content is None:
            path.mkdir(parents=True, exist_ok=True)
        elif not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def settled(name: str, content: bytes | None) -> bytes | None:
    """Return the content of a file without what changes from run to run.

    Of an epoch that a log has twice, as after a stop, the later lines count; what is cut short stays behind them.
    """
    if content is None or not name.endswith(TEXTS):
        return content
    text = CHANGING.sub(b"0", content)
    if not name.endswith("log.jsonl"):
        return text
    *lines, rest = text.split(b"\n")
    epochs: dict[int, dict[str, object]] = {}
    for line in map(json.loads, lines):
        epochs[line["epoch"]] = epochs.get(line["epoch"], {}) | line
    return b"".join(json.dumps(line).encode() + b"\n" for line in epochs.values()) + rest


def differences(found: Tree, wanted: Tree) -> list[str]:
    """Return what is missing, what is too much, and what is another, by name."""
    told = [f"{name} is missing" for name in wanted if name not in found]
    told += [f"{name} is there" for name in found if name not in wanted]
    return told + [
        f"{name} is another"
        for name in wanted
        if name in found and settled(name, found[name]) != settled(name, wanted[name])
    ]
