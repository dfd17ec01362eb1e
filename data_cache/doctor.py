"""Health of what both stages need, line by line, for `cli.py doctor`."""

import platform
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

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
    from data_cache.devices import choose_device, describe_device

    new_enough = tuple(int(part) for part in torch.__version__.split(".")[:2]) >= OLDEST_TORCH
    hint = "" if new_enough else f"; torch {'.'.join(map(str, OLDEST_TORCH))} or newer is needed"
    return Check("device", describe_device(choose_device("auto")) + hint, new_enough)
