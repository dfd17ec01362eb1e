import json
import re

import pytest
import torch
from click.testing import CliRunner

from cli import main
from detect.commands import doctor
from detect.commands.doctor import Check, run_checks
from helpers.paths import ROOT


def failed() -> dict[str, str]:
    """Return the details of the failed checks by name."""
    return {check.name: check.detail for check in run_checks() if not check.ok}


def test_this_installation_passes() -> None:
    checks = {check.name: check for check in run_checks()}
    assert all(check.ok for check in checks.values())
    assert checks["torch"].detail.split("+")[0] == torch.__version__.split("+")[0]
    assert checks["operators of MMCV"].detail in ("torchvision operators", "compiled mmcv._ext")


def test_conflicting_distributions_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "installed", lambda package: "1.0")
    assert {"mmengine and onedl-mmengine", "opencv-python and opencv-python-headless"} <= set(failed())


def test_the_remedy_for_two_opencvs_is_that_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "installed", lambda package: "1.0")
    commands = re.findall("`([^`]+)`", failed()["opencv-python and opencv-python-headless"])
    assert len(commands) == 2
    assert "\n".join(commands) in (ROOT / "docs" / "install.md").read_text(encoding="utf-8")


def test_missing_packages_fail_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "installed", lambda package: None)
    assert list(failed()) == [*doctor.PACKAGES, *doctor.PINS]
    assert all("make setup" in detail for detail in failed().values())


def test_an_old_torch_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    assert "2.10 or newer" in failed()["device"]


def test_the_command_exits_with_1_if_a_check_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [Check("Python", "3.11")]
    monkeypatch.setattr(doctor, "run_checks", lambda: checks)
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0 and "ok    Python: 3.11" in result.stdout
    checks.append(Check("h5py", "not installed", False))
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 1 and "FAIL  h5py: not installed" in result.stdout and "Error: a check" in result.output
    result = CliRunner().invoke(main, ["doctor", "--json"])
    assert result.exit_code == 1
    assert {"name": "h5py", "detail": "not installed", "ok": False} in json.loads(result.stdout)
