"""Health of what the detector needs, for `cli.py doctor`; loads nothing heavy unless it must be tried."""

import platform
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

PINS = {"onedl-mmengine": "0.10.12", "onedl-mmcv": "2.3.6", "onedl-mmdetection": "3.5.1"}
CLASHES = (
    ("mmengine", "onedl-mmengine"),
    ("mmcv", "onedl-mmcv"),
    ("mmcv-lite", "onedl-mmcv"),
    ("mmdet", "onedl-mmdetection"),
    ("opencv-python", "opencv-python-headless"),
)
REPAIR = "pip uninstall both, then `make setup`"
PACKAGES = ("torch", "torchvision", "numpy", "h5py", "pandas", "pillow", "safetensors", "pydantic")
OLDEST_TORCH = (2, 10)  # older ones can be made to run code by a file (CVE-2026-24747), weights_only or not


@dataclass(frozen=True)
class Check:
    """What was looked at, what was found, and whether the system works with it."""

    name: str
    detail: str
    ok: bool = True


def system_checks() -> list[Check]:
    """Return the checks of Python, the shared packages and the device."""
    python = Check("Python", f"{platform.python_version()} on {platform.system()}", sys.version_info >= (3, 10))
    return [python, *(_package(name) for name in PACKAGES), _torch()]


def installed(package: str) -> str | None:
    """Return the version of an installed distribution, None where it is absent."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _package(name: str) -> Check:
    found = installed(name)
    return Check(name, found or "not installed; run `make setup`", found is not None)


def _torch() -> Check:
    try:
        import torch
    except ImportError as error:
        return Check("device", f"torch cannot be imported ({error})", False)
    from data_cache.base.devices import choose_device, describe_device

    new_enough = tuple(int(part) for part in torch.__version__.split(".")[:2]) >= OLDEST_TORCH
    hint = "" if new_enough else f"; torch {'.'.join(map(str, OLDEST_TORCH))} or newer is needed"
    return Check("device", describe_device(choose_device("auto")) + hint, new_enough)


def detector_checks() -> list[Check]:
    """Return the checks of the detector's packages, operators and OpenCV, in the order in which they are shown."""
    return [*_pinned(), *_clashes(), _opencv(), _operators()]


def _pinned() -> list[Check]:
    checks = []
    for package, wanted in PINS.items():
        found = installed(package)
        detail = found or "not installed; run `make setup`"
        if found and found != wanted:
            detail += f" (made for {wanted})"
        checks.append(Check(package, detail, found is not None))
    return checks


def _clashes() -> list[Check]:
    """Two distributions with the same import name overwrite each other's files."""
    return [
        Check(f"{first} and {second}", f"both are installed and overwrite each other; {REPAIR}", False)
        for first, second in CLASHES
        if installed(first) and installed(second)
    ]


def _opencv() -> Check:
    try:
        import cv2
    except ImportError as error:  # the flavour with windows needs libGL, which servers lack
        return Check("OpenCV", f"cannot be imported ({error}); `pip install opencv-python-headless`", False)
    return Check("OpenCV", str(cv2.__version__))


def _operators() -> Check:
    from detect.model.mmcv_ops import operators_in_use

    try:
        return Check("operators of MMCV", operators_in_use())
    except ImportError as error:
        return Check("operators of MMCV", f"cannot be looked up ({error})", False)
