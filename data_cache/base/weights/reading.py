"""Weight files of other programs as state dicts, with the keys of the dictionaries around them; no code in them runs.

Training programs save more than tensors: the best score as a numpy scalar, the options as a Namespace. torch refuses
those and advises to run the code in the file, or to allow numpy's own functions: of these, `scalar` and `dtype` turn
bytes of the file into a pointer and follow it. Here such objects become stand-ins, which keep nothing.
"""

import functools
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from data_cache.base.errors import UserError, printable
from data_cache.base.files import open_regular
from data_cache.base.progress import without_library_messages
from data_cache.base.tensors import LOAD_ERRORS, PYTORCH, is_pytorch

if TYPE_CHECKING:
    from torch import Tensor

SAVE_ALONE = "save the network alone: torch.save(network.state_dict(), FILE)"
TORCHSCRIPT = "constants.pkl"


@dataclass(frozen=True, eq=False)
class StateDict:
    """Tensors by name, and the keys of the dictionaries around them, the outermost first."""

    wrapper: tuple[str, ...]
    tensors: "dict[str, Tensor]"


class _Value:
    """A stand-in for an object that is not needed: it takes what the file gives, and keeps and does nothing."""

    def __new__(cls, *_: object) -> "_Value":
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


class _Mapping:
    """A stand-in for subclasses of dict, because torch's unpickler fills only its own kinds: an ordered dictionary."""

    def __new__(cls, *_: object) -> Any:
        return OrderedDict()


class _List:
    """A stand-in for other sequences: an empty list."""

    def __new__(cls, *_: object) -> Any:
        return []


STAND_INS: dict[type, tuple[str, ...]] = {
    _Value: (
        *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
        *("numpy.dtype", "numpy.ndarray", "argparse.Namespace", "types.SimpleNamespace", "builtins.getattr"),
        *(f"builtins.{name}" for name in ("bool", "dict", "float", "int", "list", "range", "slice", "str", "tuple")),
        *(f"pathlib{at}.{flavour}Path" for at in ("", "._local") for flavour in ("", "Posix", "Windows")),
        *(f"pathlib{at}.Pure{flavour}Path" for at in ("", "._local") for flavour in ("", "Posix", "Windows")),
        *(f"datetime.{name}" for name in ("date", "datetime", "timedelta")),
        "mmengine.logging.history_buffer.HistoryBuffer",
    ),
    _Mapping: (
        *("collections.defaultdict", "easydict.EasyDict", "addict.addict.Dict", "mmengine.config.config.ConfigDict"),
        *("yacs.config.CfgNode", "fvcore.common.config.CfgNode", "detectron2.config.config.CfgNode"),
    ),
    _List: ("collections.deque",),
}


def read_state_dicts(path: Path) -> list[StateDict]:
    """Return every state dict in a safetensors file or in one of `torch.save`; there is at least one.

    Which of the two it is says the content, not the name. Raises UserError if the file is missing, damaged, has no
    state dict, or holds objects that only their own code could rebuild.
    """
    found = list(state_dicts(_content(path)))
    if not found:
        raise UserError(f"{path}: holds no state dict (names to tensors); {SAVE_ALONE}")
    return found


def state_dicts(content: object) -> Iterator[StateDict]:
    """Yield the dictionaries in `content` that name tensors, each before those inside it; other values do not count.

    >>> import torch
    >>> content = {"epoch": 3, "model": {"weight": torch.zeros(2)}}
    >>> [(state.wrapper, list(state.tensors)) for state in state_dicts(content)]
    [(('model',), ['weight'])]
    """
    import torch

    waiting: list[tuple[tuple[str, ...], object]] = [((), content)]
    seen: set[int] = set()  # a pickle may contain itself
    while waiting:
        wrapper, value = waiting.pop()
        if not isinstance(value, dict) or id(value) in seen:
            continue
        seen.add(id(value))
        tensors = {name: one for name, one in value.items() if isinstance(name, str) and isinstance(one, torch.Tensor)}
        if tensors:
            yield StateDict(wrapper, tensors)
        waiting += [((*wrapper, str(key)), one) for key, one in reversed(value.items())]


def _content(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        with open_regular(path) as file, without_library_messages():  # torch warns of pickle protocols
            start = file.read(16)
            if is_pytorch(start):
                if start.startswith(PYTORCH[0]):
                    _refuse_foreign_archive(file, path.stat().st_size)
                return _unpickled(file)
            if start[8:9] != b"{":
                raise ValueError("neither a PyTorch nor a safetensors file" if start else "an empty file")
            return load_file(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except pickle.UnpicklingError as error:  # torch's text would advise to run the code in the file
        raise UserError(f"{path}: cannot be read as weights ({_obstacle(path)}); {SAVE_ALONE}") from error
    except (SafetensorError, *LOAD_ERRORS) as error:
        reason = printable((str(error) or type(error).__name__).splitlines()[0][:200])
        raise UserError(f"{path}: cannot be read as weights ({reason})") from error


def _unpickled(file: BinaryIO) -> object:
    import torch

    file.seek(0)
    with torch.serialization.safe_globals(_stand_ins()):
        return torch.load(file, map_location="cpu", weights_only=True)


@functools.cache
def _stand_ins() -> list[Any]:
    return [(kind, name) for kind, names in STAND_INS.items() for name in names]


def _refuse_foreign_archive(file: BinaryIO, size: int) -> None:
    """Raise ValueError for an archive that is no state dict, or compressed: its content could fill the memory."""
    with zipfile.ZipFile(file) as archive:
        members = {Path(member.filename).name for member in archive.infolist()}
        unpacked = sum(member.file_size for member in archive.infolist())
    if TORCHSCRIPT in members:
        raise ValueError(f"a TorchScript program, which holds code; {SAVE_ALONE}")
    if "data.pkl" not in members:
        raise ValueError("an archive that torch.save has not written")
    if unpacked > size:
        raise ValueError("its tensors are compressed; torch never writes that")


def _obstacle(path: Path) -> str:
    """Return why torch refuses to unpickle a file, with the first names of what it would have to run."""
    import torch

    try:
        with open_regular(path) as file, torch.serialization.safe_globals(_stand_ins()):
            names = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(file))
    except LOAD_ERRORS:  # of the older format, or not of torch.save
        names = []
    shown = f" ({', '.join(printable(name)[:80] for name in names[:3])})" if names else ""
    return f"it holds more than tensors{shown}, which only code could rebuild; none was run"
