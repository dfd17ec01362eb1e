"""The command `doctor`: checks of the installation."""

import json
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from data_cache.base.errors import UserError
from data_cache.base.options import json_option

PACKAGES = ("torch", "torchvision", "numpy", "h5py", "pandas", "pillow", "safetensors", "pydantic")
PINS = {"onedl-mmengine": "0.10.12", "onedl-mmcv": "2.3.6", "onedl-mmdetection": "3.5.1"}
HEADLESS = "opencv-python-headless"  # works without libGL, which servers lack
REQUIREMENTS = {HEADLESS: f"{HEADLESS}<4.13"} | {name: f"{name}=={pin}" for name, pin in PINS.items()}  # <4.13: imaug
CONFLICTS = (  # distributions with the same import name overwrite each other's files
    ("mmengine", "onedl-mmengine"),
    ("mmcv", "onedl-mmcv"),
    ("mmcv-lite", "onedl-mmcv"),
    ("mmdet", "onedl-mmdetection"),
    ("opencv-python", HEADLESS),
)
OLDEST_TORCH = (2, 10)  # in older ones a file can run code even with weights_only (CVE-2026-24747)
INSTALL = "run `make setup`, or install the package again by pip"


@dataclass(frozen=True)
class Check:
    """One check: what was checked, the result, and whether it is good enough."""

    name: str
    detail: str
    ok: bool = True


@click.command("doctor")
@json_option
def doctor(as_json: bool) -> None:
    """Check versions, device, operators and conflicting packages; exit 1 if something does not work."""
    checks = run_checks()
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks]))
    else:
        for check in checks:
            click.echo(f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.detail}")
    if not all(check.ok for check in checks):
        raise UserError("a check failed, see above")


def run_checks() -> list[Check]:
    """Return all checks, in the order in which they are shown."""
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return [
        Check("Python", f"{platform.python_version()} on {platform.system()}", sys.version_info >= (3, 11)),
        *(_package(name) for name in PACKAGES),
        _torch(),
        *(_package(name, pin) for name, pin in PINS.items()),
        *(
            Check(
                f"{first} and {second}",
                f"both are installed, in one folder; run `pip uninstall --yes {first} {second}`, "
                f"then `pip install --no-deps '{REQUIREMENTS[second]}'`",
                False,
            )
            for first, second in CONFLICTS
            if installed(first) and installed(second)
        ),
        _opencv(),
        _operators(),
        Check("free disk", f"{free:.0f} GiB here", free >= 1),
    ]


def installed(package: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _package(name: str, pin: str | None = None) -> Check:
    found = installed(name)
    if found is None:
        return Check(name, f"not installed; {INSTALL}", False)
    return Check(name, found if pin in (None, found) else f"{found} (tested with {pin})")


def _torch() -> Check:
    try:
        import torch
    except ImportError as error:
        return Check("device", f"torch cannot be imported ({error})", False)
    from data_cache.base.devices import choose_device, describe_device

    new_enough = tuple(int(part) for part in torch.__version__.split(".")[:2]) >= OLDEST_TORCH
    hint = "" if new_enough else f"; torch {'.'.join(map(str, OLDEST_TORCH))} or newer is needed"
    return Check("device", describe_device(choose_device("auto")) + hint, new_enough)


def _opencv() -> Check:
    try:
        import cv2
    except ImportError as error:
        return Check("OpenCV", f"cannot be imported ({error}); install {HEADLESS} alone: docs/install.md", False)
    return Check("OpenCV", str(cv2.__version__))


def _operators() -> Check:
    try:
        from detect.model.mmcv_ops import operators_in_use

        return Check("operators of MMCV", operators_in_use())
    except ImportError as error:
        return Check("operators of MMCV", f"cannot be checked ({error})", False)
