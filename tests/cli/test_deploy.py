"""The Dockerfile and compose.yaml: what they copy, install and start exists, and the service runs without rights."""

import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

import pytest
import yaml

from helpers.command_lines import parsed
from helpers.paths import ROOT
from vehicle_reid import __version__
from vehicle_reid.commands.serve import serve_command
from vehicle_reid.web.api.access import OPEN_ADDRESSES
from vehicle_reid.web.server import SHUTDOWN_SECONDS

SCRIPT = ROOT / "docs/examples/replay_dockerfile.py"
PAGE = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICE = COMPOSE["services"]["serve"]


def script() -> ModuleType:
    """Return the script that replays the Dockerfile."""
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REPLAY = script()
DOCKERFILE = REPLAY.read_dockerfile(ROOT / "Dockerfile")
PATTERNS = REPLAY.ignore_patterns(ROOT / ".dockerignore")


def values(name: str) -> list[str]:
    """Return what follows the instructions of that name in the Dockerfile."""
    return [value for instruction, value in DOCKERFILE if instruction == name]


def filled(text: str) -> str:
    """Return a text of compose.yaml with the defaults of its variables."""
    return re.sub(r"\$\{\w+:?-([^}]*)\}", r"\1", text)


def sources() -> Iterator[str]:
    """Yield what the Dockerfile copies out of the project's folder."""
    for value in values("COPY"):
        if not value.startswith("--from"):
            yield from value.split()[:-1]


def test_every_source_of_a_copy_exists_and_is_not_ignored() -> None:
    assert list(sources())
    for source in sources():
        assert (ROOT / source).exists() and not REPLAY.is_ignored(source, PATTERNS)


def test_an_image_gets_the_files_of_the_packages_and_no_others(tmp_path: Path) -> None:
    replay = REPLAY.Replay(tmp_path, {}, isolated=False)
    for instruction in DOCKERFILE:
        if instruction.name in ("WORKDIR", "COPY"):
            replay.do(instruction)
    copied = {path.relative_to(tmp_path / "src") for path in (tmp_path / "src").rglob("*") if path.is_file()}
    below = (path for name in sources() for path in (ROOT / name, *(ROOT / name).rglob("*")))
    wanted = {path.relative_to(ROOT) for path in below if path.is_file() and "__pycache__" not in path.parts}
    assert copied == wanted
    shown = subprocess.run(
        [sys.executable, "cli.py", "--version"], cwd=tmp_path / "src", capture_output=True, text=True, check=True
    )
    assert __version__ in shown.stdout


@pytest.mark.parametrize(
    "path",
    [*("data/VeRi/a.jpg", "runs/veri/pgan/best.safetensors", "tokens.txt", ".env", ".git/config"), "photos/1.jpg"],
)
def test_what_is_private_never_gets_into_an_image(path: str) -> None:
    assert REPLAY.is_ignored(path, PATTERNS)


@pytest.mark.parametrize(
    ("path", "patterns", "ignored"),
    [
        *(("a/b", ["a"], True), ("a/b", ["*"], True), ("a/b", ["b"], False), ("a/b", ["**/b"], True)),
        *(("b", ["**/b"], True), ("a/b", ["*", "!a"], False), ("a/b", ["!a", "*"], True), ("ab", ["a"], False)),
        *(("a.py", ["*.py"], True), ("a/b.py", ["*.py"], False), ("axpy", ["a.py"], False)),
    ],
)
def test_the_last_pattern_that_fits_decides(path: str, patterns: list[str], ignored: bool) -> None:
    assert REPLAY.is_ignored(path, patterns) == ignored


def test_python_and_packages_have_the_versions_of_the_constraints() -> None:
    (version,) = {found[1] for value in values("ARG") if (found := re.match(r"PYTHON_IMAGE=python:([0-9.]+)-", value))}
    assert f"Python {version}" in CONSTRAINTS.splitlines()[0]
    installs = [words for value in values("RUN") for words in value.split("&&") if "pip install" in words]
    assert len(installs) == 3
    for words in installs:
        assert "--constraint constraints.txt" in words and not re.search(r"[=<>]=", words)
    pinned = {line.partition("==")[0] for line in CONSTRAINTS.splitlines()}
    assert {"torch", "torchvision", "opencv-python-headless"} < pinned


def test_the_image_has_extras_that_exist() -> None:
    (default,) = [value.partition("=")[2] for value in values("ARG") if value.startswith("EXTRAS=")]
    assert set(default.split(",")) <= set(PROJECT["optional-dependencies"]) and "demo" in default


def test_the_service_runs_as_a_user_without_rights() -> None:
    (user,) = values("USER")
    number, _, group = user.partition(":")
    assert int(number) > 0 and int(group) > 0
    last = max(row for row, instruction in enumerate(DOCKERFILE) if instruction.name in ("RUN", "COPY"))
    assert DOCKERFILE.index(("USER", user)) > last
    assert any(f"--uid {number} " in value for value in values("RUN"))
    assert f"chown {number} tokens.txt" in PAGE
    assert SERVICE["read_only"] is True and SERVICE["cap_drop"] == ["ALL"]
    assert SERVICE["security_opt"] == ["no-new-privileges:true"]


def entry_and(command: list[str]) -> list[str]:
    """Return the words after the program's name in what the image runs."""
    (entry,) = [instruction.words() for instruction in DOCKERFILE if instruction.name == "ENTRYPOINT"]
    assert entry == ["pgan"] == list(PROJECT["scripts"])
    return [*entry[1:], *command]


def test_image_and_compose_start_the_same_service() -> None:
    (command,) = [instruction.words() for instruction in DOCKERFILE if instruction.name == "CMD"]
    assert [filled(word) for word in SERVICE["command"]] == command
    context = parsed(entry_and(command))
    assert context.command is serve_command
    assert context.params["host"] == "0.0.0.0" and context.params["tokens"] == Path("/run/secrets/tokens")
    assert Path(context.params["address"]).is_relative_to("/data")
    assert SERVICE["secrets"] == ["tokens"] and "tokens" in COMPOSE["secrets"]


def test_port_and_health_check_are_those_of_the_service() -> None:
    (port,) = [option.default for option in serve_command.params if option.name == "port"]
    assert values("EXPOSE") == [str(port)]
    assert [filled(one) for one in SERVICE["ports"]] == [f"127.0.0.1:{port}:{port}"]
    (check,) = values("HEALTHCHECK")
    (address,) = re.findall(r"http://127\.0\.0\.1:(\d+)(/\w+)", check)
    assert address == (str(port), "/health") and "/health" in OPEN_ADDRESSES


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server whose every answer has that status; yield its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_health_check_fails_unless_the_service_is_healthy(status: int, healthy: bool) -> None:
    (check,) = [instruction.words() for instruction in DOCKERFILE if instruction.name == "HEALTHCHECK"]
    with answering(status) as port:
        code = check[2].replace(":8000/", f":{port}/")
        assert code != check[2]
        result = subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL, check=False)
    assert (result.returncode == 0) == healthy


def test_compose_builds_this_version_with_arguments_of_the_dockerfile() -> None:
    assert filled(SERVICE["image"]) == f"pgan-vehicle-reid:{__version__}"
    defaults = dict(value.split("=", 1) for value in values("ARG"))
    arguments = SERVICE["build"]["args"]
    assert {name: filled(value) for name, value in arguments.items()} == {name: defaults[name] for name in arguments}
    assert set(re.findall(r"pgan-vehicle-reid:([0-9.]+[0-9])", PAGE)) == {__version__}


def test_compose_defines_what_it_uses_and_limits_every_service() -> None:
    for service in COMPOSE["services"].values():
        assert {"cpus", "mem_limit"} <= set(service)
        named = [volume.partition(":")[0] for volume in service["volumes"] if volume[0] not in "./$"]
        assert set(named) <= set(COMPOSE["volumes"])
        assert {one["source"] for one in service.get("configs", ())} <= set(COMPOSE["configs"])
        assert set(service.get("depends_on", ())) <= set(COMPOSE["services"])
    assert int(SERVICE["stop_grace_period"].removesuffix("s")) > SHUTDOWN_SECONDS
    assert COMPOSE["services"]["milvus"]["profiles"] == ["milvus"] and "ports" not in COMPOSE["services"]["milvus"]
    assert COMPOSE["services"]["milvus"]["healthcheck"]["test"]


def test_the_page_lists_the_variables_of_compose() -> None:
    used = re.findall(r"\$\{(\w+):?-([^}]*)\}", (ROOT / "compose.yaml").read_text(encoding="utf-8"))
    assert {name for name, _ in used} >= {"PGAN_TORCH_INDEX", "PGAN_GALLERY"}
    for name, default in used:
        assert f"`{name}`" in PAGE
        if name.startswith("PGAN_") and name != "PGAN_TORCH_INDEX":
            assert f"| `{name}` | `{default}` |" in PAGE


def commands_of_the_page() -> list[list[str]]:
    """Return the words after `pgan` of every command that the page runs in a container."""
    lines = [
        line
        for block in re.findall(r"^```bash\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
        for line in block.splitlines()
    ]
    found = [re.search(r"(?:run .*--rm serve|pgan-vehicle-reid:\S+) ([a-z].*)", line) for line in lines]
    return [
        shlex.split(one[1]) for one in found if one and "docker save" not in one.string and "load" not in one.string
    ]


def test_the_page_runs_commands_that_exist() -> None:
    commands = commands_of_the_page()
    assert {tuple(words[:2]) for words in commands} >= {("gallery", "build"), ("gallery", "check")}
    for words in commands:
        assert parsed(entry_and(words)).command is not None


def test_the_override_for_a_gpu_changes_settings_that_exist() -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    override = yaml.safe_load(block)["services"]
    assert set(override) == {"serve"}
    assert set(override["serve"]["build"]["args"]) <= set(SERVICE["build"]["args"])
