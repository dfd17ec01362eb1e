"""The content of a folder as one value: to compare it, and to write it again."""

import json
import re
import shutil
from pathlib import Path

Tree = dict[str, bytes | None]  # content by path below the folder; None for a folder

# what differs between equal runs: speed, times, and the commit of the code
CHANGING = re.compile(
    rb'(?<="images_per_second": )[0-9.e+-]+|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00|(?<=Training time: )\d+ min \d+ s'
    rb'|\b[0-9a-f]{40}\b(-dirty)?|(?<="commit": )("[^"]*"|null)'
)
MESSAGES = "train.log"
TEXTS = (".json", ".jsonl", ".md", ".html")


def read_tree(folder: Path) -> Tree:
    """Return what is below the folder, without logs of messages, which hold times; links are not followed."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if path.name != MESSAGES
    }


def write_tree(tree: Tree, folder: Path) -> None:
    """Make the content of the folder equal to `tree`; files that are equal already are not touched."""
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
    """Return the content of a file without what differs between equal runs.

    A log may hold an epoch twice, after a stop: later values count. An unfinished last line stays.
    """
    if content is None or not name.endswith(TEXTS):
        return content
    text = CHANGING.sub(b"0", content)
    if not name.endswith("log.jsonl"):
        return text
    *lines, rest = text.split(b"\n")
    epochs: dict[int, dict[str, object]] = {}
    try:
        for line in map(json.loads, lines):
            epochs[line["epoch"]] = epochs.get(line["epoch"], {}) | line
    except (ValueError, KeyError):  # a damaged log is compared as it is
        return text
    return b"".join(json.dumps(line).encode() + b"\n" for line in epochs.values()) + rest


def settled_tree(tree: Tree) -> Tree:
    """Return the tree without what differs between equal runs."""
    return {name: settled(name, content) for name, content in tree.items()}


def differences(found: Tree, wanted: Tree) -> list[str]:
    """Return a line for each path that is missing, is too much, or has other content."""
    wrong = [f"{name} is missing" for name in wanted if name not in found]
    wrong += [f"{name} was left behind" for name in found if name not in wanted]
    return wrong + [f"{name} differs" for name in wanted if name in found and found[name] != wanted[name]]
