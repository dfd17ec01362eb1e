"""Weight files of others: what training programs save beside tensors is passed over, and nothing in a file runs."""

import argparse
import collections
import datetime
import pathlib
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from data_cache.base.errors import UserError
from data_cache.base.weights.reading import STAND_INS, read_state_dicts, state_dicts
from helpers.faults.attack import Attack

WEIGHT = torch.arange(6.0).view(2, 3)
BESIDE: dict[str, Any] = {
    "best_acc": np.float64(0.83),
    "rank1": np.float32(0.5),
    "epoch": np.int64(3),
    "flag": np.bool_(True),
    "name": np.str_("veri"),
    "history": np.arange(12.0).reshape(3, 4),
    "random": np.random.RandomState(0).get_state(),
    "args": argparse.Namespace(lr=0.1, root=pathlib.Path("/data"), gpus=[0, 1]),
    "path": pathlib.PurePosixPath("a/b"),
    "losses": collections.defaultdict(list, {"id": [1.0], "triplet": [np.float64(2)]}),
    "recent": collections.deque([1.0, 2.0], maxlen=5),
    "when": datetime.datetime(2024, 1, 2, 3, 4),
    "counts": collections.Counter("aab"),
    "ordered": collections.OrderedDict(a=1),
    "kinds": {float, str},
    "big": 2**70,
    "bytes": b"abc",
    "none": None,
}


def written(path: Path, content: object, *, old: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    return path


@pytest.mark.parametrize("old", [False, True], ids=["zip", "older format"])
@pytest.mark.parametrize("name", BESIDE)
def test_what_programs_save_beside_the_weights_is_passed_over(tmp_path: Path, name: str, old: bool) -> None:
    content = {name: BESIDE[name], "state_dict": {"a.weight": WEIGHT}, "after": BESIDE[name]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = read_state_dicts(written(tmp_path / "w.pth", content, old=old))
    assert found.wrapper == ("state_dict",) and [*found.tensors] == ["a.weight"]
    assert torch.equal(found.tensors["a.weight"], WEIGHT)


def test_a_checkpoint_of_mmengine_with_its_message_hub_is_read(tmp_path: Path) -> None:
    buffers = pytest.importorskip("mmengine.logging")
    hub = {"log_scalars": {"train/loss": buffers.HistoryBuffer([1.0, 2.0], [1, 1])}, "runtime_info": {"epoch": 3}}
    content = {"meta": {"cfg": "model = ..."}, "state_dict": {"backbone.w": WEIGHT}, "message_hub": hub}
    states = read_state_dicts(written(tmp_path / "epoch_3.pth", content))
    assert [state.wrapper for state in states] == [("state_dict",)]


def test_numpy_made_by_an_older_numpy_is_read(tmp_path: Path) -> None:
    """numpy 1 writes `numpy.core`, numpy 2 `numpy._core`."""
    written(tmp_path / "w.pth", {"best": np.float64(1), "net": {"a": WEIGHT}})
    with zipfile.ZipFile(tmp_path / "w.pth") as source, zipfile.ZipFile(tmp_path / "old.pth", "w") as target:
        for member in source.infolist():
            data = source.read(member)
            if member.filename.endswith("data.pkl"):
                assert (b"numpy._core" in data) == (np.__version__ >= "2")
                data = data.replace(b"numpy._core", b"numpy.core")
            target.writestr(member.filename, data)
    assert [state.wrapper for state in read_state_dicts(tmp_path / "old.pth")] == [("net",)]


def test_a_dtype_that_would_make_a_pointer_of_bytes_is_harmless(tmp_path: Path) -> None:
    """With numpy's own `dtype` and `scalar`, this file would follow the address 0x4141414141414141."""

    class Pointer:
        def __reduce__(self) -> tuple[object, ...]:
            return np.float64(0).__reduce__()[0], (ObjectKind(), b"A" * 8)

    class ObjectKind:
        def __reduce__(self) -> tuple[object, ...]:
            return np.dtype, ("O8", False, True), (3, "|", None, None, None, -1, -1, 0)

    (state,) = read_state_dicts(written(tmp_path / "w.pth", {"best": Pointer(), "a": WEIGHT}))
    assert [*state.tensors] == ["a"]


def test_stand_ins_keep_nothing_that_a_file_gives() -> None:
    for kind in STAND_INS:
        made = kind("argument", [1])
        assert not vars(made) if hasattr(made, "__dict__") else not made
    names = [name for given_names in STAND_INS.values() for name in given_names]
    assert len(names) == len(set(names))
    assert not {name.partition(".")[0] for name in names} & {"os", "sys", "posix", "nt", "subprocess", "torch"}


@pytest.mark.parametrize(
    "write",
    [
        written,
        lambda path, content: written(path, content, old=True),
        *(lambda path, content, p=p: path.write_bytes(pickle.dumps(content, protocol=p)) for p in range(6)),
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(
    tmp_path: Path, write: Callable[[Path, object], object], suffix: str
) -> None:
    path, trace = tmp_path / f"w{suffix}", tmp_path / "trace"
    write(path, {"state_dict": {"a": torch.ones(2)}, "best": Attack(trace)})
    with warnings.catch_warnings(), pytest.raises(UserError, match=r"w\.[a-z]*: cannot be read as weights") as caught:
        warnings.simplefilter("error")
        read_state_dicts(path)
    message = str(caught.value)
    assert not trace.exists() and message.isprintable() and "weights_only" not in message and len(message) < 400


class Unknown:
    """A class that no stand-in is for."""


@pytest.mark.parametrize("old", [False, True])
def test_what_only_code_could_rebuild_is_named_with_a_remedy(tmp_path: Path, old: bool) -> None:
    content = {"model": torch.nn.Linear(2, 2), "more": argparse.Namespace(lr=1)}
    with pytest.raises(UserError) as caught:
        read_state_dicts(written(tmp_path / "w.pth", content, old=old))
    named = "" if old else " (torch.nn.modules.linear.Linear)"
    assert str(caught.value) == (
        f"{tmp_path}/w.pth: cannot be read as weights (it holds more than tensors{named}, which only code could "
        "rebuild; none was run); save the network alone: torch.save(network.state_dict(), FILE)"
    )


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_a_torchscript_program_is_refused_without_torchs_warning(tmp_path: Path) -> None:
    program: Any = torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2))  # type: ignore[no-untyped-call]
    torch.jit.save(program, tmp_path / "w.pt")
    with warnings.catch_warnings(), pytest.raises(UserError, match=r"w\.pt: .*TorchScript program.*state_dict\(\)"):
        warnings.simplefilter("error")
        read_state_dicts(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "an empty file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "neither a PyTorch nor a safetensors file"),
        (b"<!DOCTYPE html><html></html>", "neither a PyTorch nor a safetensors file"),
    ],
)
def test_other_files_are_named(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "w.pth").write_bytes(data)
    with pytest.raises(UserError, match=rf"w\.pth: cannot be read as weights \({reason}\)"):
        read_state_dicts(tmp_path / "w.pth")


def test_archives_that_torch_has_not_written_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", a=np.ones(2))
    with pytest.raises(UserError, match=r"an archive that torch\.save has not written"):
        read_state_dicts(tmp_path / "w.npz")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "pytorch_model.bin", "w"])
def test_the_content_says_which_format_it_is(tmp_path: Path, name: str) -> None:
    for write in (written, lambda path, state: save_file(state, path)):
        write(tmp_path / name, {"a": WEIGHT})
        (state,) = read_state_dicts(tmp_path / name)
        assert torch.equal(state.tensors["a"], WEIGHT)


KEYS = st.text("abc.", min_size=1, max_size=3) | st.integers(0, 3)
LEAVES = st.builds(torch.zeros, st.just(1)) | st.none() | st.integers() | st.just(np.float64(1)) | st.lists(st.floats())
TREES = st.recursive(st.dictionaries(KEYS, LEAVES, max_size=4), lambda inner: st.dictionaries(KEYS, inner | LEAVES))


@given(TREES)
@settings(max_examples=60, deadline=None)
def test_every_tensor_with_a_name_is_found_once(tmp_path_factory: pytest.TempPathFactory, tree: dict[Any, Any]) -> None:
    def expected(value: object, wrapper: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], str]]:
        if not isinstance(value, dict):
            return []
        own = [(wrapper, key) for key, one in value.items() if isinstance(one, torch.Tensor) and isinstance(key, str)]
        return own + [pair for key, one in value.items() for pair in expected(one, (*wrapper, str(key)))]

    path = tmp_path_factory.mktemp("w") / "w.pth"
    torch.save(tree, path)
    if expected(tree):
        found = [(state.wrapper, name) for state in read_state_dicts(path) for name in state.tensors]
        assert sorted(found) == sorted(expected(tree))
    else:
        with pytest.raises(UserError, match="holds no state dict"):
            read_state_dicts(path)


def test_a_dictionary_that_contains_itself_ends() -> None:
    tree: dict[str, Any] = {"a": WEIGHT}
    tree |= {name: tree for name in "bcdefghij"}
    assert [state.wrapper for state in state_dicts(tree)] == [()]
