"""Replay the Dockerfile without Docker: install in a virtual environment, start, check the health, search, stop.

Needs a package index; PyTorch with CUDA takes 7 GB in FOLDER, which is kept and may be deleted. With --isolated, as
root on Linux, the service runs as the image's user, without a network and with nothing writable but /data and /tmp.
What makes the user and folders of the image is not replayed, nor is its base.

    python docs/examples/replay_dockerfile.py /tmp/replay
    sudo python docs/examples/replay_dockerfile.py /tmp/replay --build-arg TORCH_INDEX= --isolated
"""

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).parents[2]
PATHS = ("/opt/venv", "/src", "/data", "/run/secrets", "/tmp")  # of the image; in the replay below FOLDER
NOT_REPLAYED = ("useradd", "VOLUME", "EXPOSE")
TOKEN = "replay-replay-replay"
START_SECONDS = 300  # a busy machine needs minutes


class Instruction(NamedTuple):
    """An instruction of a Dockerfile, and what follows it."""

    name: str
    value: str

    def words(self) -> list[str]:
        """Return the words of the JSON list that it ends with, or else of the text."""
        _, bracket, words = self.value.partition("[")
        return json.loads(bracket + words) if bracket else shlex.split(self.value)


def read_dockerfile(path: Path) -> list[Instruction]:
    """Return the instructions of a Dockerfile, in order; continued lines are joined and comments left out."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [Instruction(*line.split(maxsplit=1)) for line in joined if line.strip()]


def is_ignored(path: str, patterns: Sequence[str]) -> bool:
    """Return whether the patterns of a .dockerignore leave a path out: the last that fits it or a parent decides.

    >>> is_ignored("a/b.py", ["*", "!a"]), is_ignored("a/__pycache__/b", ["*", "!a", "**/__pycache__"])
    (False, True)
    """
    parts = path.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    ignored = False
    for pattern in patterns:
        expression = re.escape(pattern.removeprefix("!")).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        if any(re.fullmatch(expression, one) for one in above):
            ignored = not pattern.startswith("!")
    return ignored


def ignore_patterns(path: Path) -> list[str]:
    """Return the patterns of a .dockerignore."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


class Replay:
    """An image's folders below `folder`, and the variables that its instructions have set."""

    def __init__(self, folder: Path, arguments: dict[str, str], *, isolated: bool) -> None:
        """Begin with empty folders, but for an environment of an earlier replay; `arguments` are build arguments."""
        self.folder, self.arguments, self.isolated = folder.resolve(), arguments, isolated
        self.variables = {name: os.environ[name] for name in os.environ if name.startswith(("PIP_", "PATH"))}
        self.place = self.folder
        for path in PATHS:
            self.here(path).mkdir(parents=True, exist_ok=True)

    def here(self, path: str) -> Path:
        """Return where a path of the image is."""
        return self.folder / path.lstrip("/")

    def moved(self, text: str) -> str:
        """Return a text with the image's paths replaced."""
        return re.sub(rf"(?<![\w.])({'|'.join(PATHS)})(?![\w-])", lambda found: str(self.here(found[0])), text)

    def do(self, instruction: Instruction) -> None:
        """Replay one instruction. Raises CalledProcessError if a command fails."""
        name, value = instruction
        print(f"== {name} {value}", flush=True)
        if name == "ARG":
            key, _, default = value.partition("=")
            self.variables[key] = self.arguments.get(key, default)
        elif name == "ENV":
            for word in shlex.split(value):
                key, _, setting = word.partition("=")
                self.variables[key] = re.sub(r"\$(\w+)", lambda found: self.variables[found[1]], self.moved(setting))
        elif name == "WORKDIR":
            self.place = self.here(value)
        elif name == "COPY" and not value.startswith("--from"):
            self.copy(instruction.words())
        elif name == "RUN" and not value.startswith(NOT_REPLAYED):
            subprocess.run(["sh", "-c", self.moved(value)], cwd=self.place, env=self.variables, check=True)

    def copy(self, words: list[str]) -> None:
        """Copy files and folders of the checkout, without those that .dockerignore leaves out."""
        *sources, target = words
        patterns = ignore_patterns(CHECKOUT / ".dockerignore")
        for source in sources:
            whole = CHECKOUT / source
            for path in [whole] if whole.is_file() else sorted(whole.rglob("*")):
                inside = path.relative_to(CHECKOUT).as_posix()
                to = self.place / target / (path.name if whole.is_file() else path.relative_to(whole))
                if path.is_file() and not is_ignored(inside, patterns):
                    to.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, to)

    def command(self, words: Sequence[str]) -> list[str]:
        """Return a command line of the running image, in a place of its own if the replay is isolated."""
        moved = [self.moved(word) for word in words]
        if not self.isolated:
            return moved
        writable = " && ".join(f"mount --bind {self.here(path)} {self.here(path)}" for path in ("/data", "/tmp"))
        script = (
            f"ip link set lo up && {writable} && mount -o remount,ro,bind / && cd {self.place} && "
            f"exec setpriv --reuid {self.user} --regid {self.user} --clear-groups --no-new-privs {shlex.join(moved)}"
        )
        return ["unshare", "--net", "--mount", "sh", "-ec", script]

    @property
    def user(self) -> int:
        """The number of the image's user."""
        (user,) = [value for name, value in read_dockerfile(CHECKOUT / "Dockerfile") if name == "USER"]
        return int(user.partition(":")[0])


def start(replay: Replay, words: list[str], check: list[str]) -> None:
    """Start the service, wait until it is healthy, send requests and stop it. Raises RuntimeError if one fails."""
    service = subprocess.Popen(replay.command(words), cwd=replay.place, env=replay.variables)
    inside = ["nsenter", "--target", str(service.pid), "--net"] if replay.isolated else []

    def run(*program: str) -> int:
        words = [*inside, *program]
        return subprocess.run(words, env=replay.variables, check=False, stderr=subprocess.DEVNULL).returncode

    try:
        began = time.monotonic()
        while run(*check):
            if service.poll() is not None or time.monotonic() > began + START_SECONDS:
                raise RuntimeError("the service is not healthy")
            time.sleep(1)
        print(f"== healthy after {time.monotonic() - began:.0f} s", flush=True)
        image = next(replay.here("/data/photos").glob("*.jpg"))
        for header, wanted in (({}, 401), ({"Authorization": f"Bearer {TOKEN}"}, 200)):
            request = f"Request('http://127.0.0.1:8000/v1/search', open({str(image)!r}, 'rb').read(), {header})"
            code = (
                "from urllib.error import HTTPError; from urllib.request import Request, urlopen\n"
                f"try: status = urlopen({request}, timeout=60).status\n"
                f"except HTTPError as error: status = error.code\n"
                f"raise SystemExit(status != {wanted})"
            )
            if run("python", "-c", code):
                raise RuntimeError(f"a search with headers {list(header)} is not answered with {wanted}")
            print(f"== a search with headers {list(header)}: {wanted}", flush=True)
    finally:
        began = time.monotonic()
        service.send_signal(signal.SIGTERM)
        code = service.wait(timeout=START_SECONDS)
    print(f"== stopped with {code} after {time.monotonic() - began:.0f} s", flush=True)
    if code:
        raise RuntimeError(f"the service ended with {code}")


def main() -> None:
    """Replay the build stage, then the stage that runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--isolated", action="store_true")
    options = parser.parse_args()
    replay = Replay(options.folder, dict(one.split("=", 1) for one in options.build_arg), isolated=options.isolated)
    known: dict[str, Instruction] = {}
    for instruction in read_dockerfile(CHECKOUT / "Dockerfile"):
        replay.do(instruction)
        known[instruction.name] = instruction
    replay.variables |= {name: os.environ[name] for name in ("OMP_NUM_THREADS",) if name in os.environ}
    (replay.here("/run/secrets") / "tokens").write_text(f"replay {TOKEN}\n")
    made = replay.here("/src") / "rendered"
    render = ["pgan", "synth", "--data-root", str(made), "--vehicles", "4"]
    subprocess.run(render, cwd=replay.place, env=replay.variables, check=True)
    shutil.copytree(made / "synthetic" / "images", replay.here("/data/photos"), dirs_exist_ok=True)
    for path in ("/data", "/tmp"):
        if options.isolated:
            subprocess.run(["chown", "--recursive", f"{replay.user}:{replay.user}", replay.here(path)], check=True)
    entry = known["ENTRYPOINT"].words()
    build = [*entry, "gallery", "build", "--images", "/data/photos", "--gallery", "/data/gallery"]
    subprocess.run(replay.command(build), cwd=replay.place, env=replay.variables, check=True)
    start(replay, [*entry, *known["CMD"].words()], known["HEALTHCHECK"].words())


if __name__ == "__main__":
    sys.exit(main())
