"""A session with Ray: the cluster that RAY_ADDRESS names, or a Ray that one command starts on this machine.

Ray is imported when it is needed only, because that takes a second.
"""

import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from data_cache.base.devices import choose_device
from data_cache.base.errors import UserError, printable
from data_cache.base.progress import is_first_rank

ADDRESS = "RAY_ADDRESS"  # Ray's own variable
LOCAL = "local"
CONNECT_SECONDS = 10.0
QUIET: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}


def require_ray() -> ModuleType:
    """Return the module ray. Raises UserError if it is not installed, or under `torchrun`, which shares work itself."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        message = "--engine ray: Ray shares the work among its own processes; start the command without torchrun"
        raise UserError(message) if is_first_rank() else SystemExit(1)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reads its variables when it is imported
    if _address() == LOCAL and "RAY_AUTH_MODE" not in os.environ:
        # a Ray started here listens on all networks: nobody else may give it work
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        if "ray" not in sys.modules:  # otherwise Ray turns tokens on when it starts
            os.environ["RAY_AUTH_MODE"] = "token"
    try:
        import ray
    except ImportError as error:
        raise UserError("--engine ray: Ray is not installed; run `pip install '.[ray]'`") from error
    module: ModuleType = ray
    return module


def choose_ray_device(name: str) -> str:
    """Return "cuda" or "cpu" for auto | cpu | cuda: auto asks this machine; for cuda only the workers need a GPU."""
    return name if name == "cuda" else choose_device(name)


@contextmanager
def ray_session(cpus: int) -> Iterator[ModuleType]:
    """Yield the module ray, connected: to the cluster of RAY_ADDRESS, or to one started here with that many `cpus`.

    A session that the process already has is used and goes on afterwards. Raises UserError if there is no cluster at
    the address, or if Ray does not start.
    """
    ray = require_ray()
    if ray.is_initialized():
        yield ray
        return
    try:
        _connect(ray, cpus)
        yield ray
    finally:
        ray.shutdown()


def _connect(ray: ModuleType, cpus: int) -> None:
    address = _address()
    before = signal.getsignal(signal.SIGTERM)
    try:
        if address == LOCAL:
            ray.init(address=LOCAL, num_cpus=cpus, **QUIET)
        else:
            _require_listening(address)
            ray.init(address=address, **QUIET)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        place = "on this machine" if address == LOCAL else f"at {ADDRESS}={address}"
        reason = printable(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)
        raise UserError(f"--engine ray: no Ray {place} ({reason})") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray has replaced it


def _address() -> str:
    return os.environ.get(ADDRESS) or LOCAL


def _require_listening(address: str) -> None:
    """Raise OSError if nothing listens at HOST:PORT; Ray itself would wait for minutes. Other addresses pass."""
    host, _, port = address.rpartition(":")
    if host and "/" not in address and port.isdecimal():
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
