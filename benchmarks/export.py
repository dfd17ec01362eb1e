"""The exported network in onnxruntime against the network in PyTorch, on the CPU, with random weights."""

from pathlib import Path

import onnxruntime
import torch

from benchmarks.measure import Call, Row, best_seconds, in_bfloat16
from data_cache.base.export import write_program
from reid.model.checkpoint import build_network
from reid.publish.program import OUTPUTS, ExportedNetwork, random_inputs, run_in_pytorch
from reid.recipes import PRESETS

VEHICLES, BATCH, ROUNDS = 576, 8, 5
RECIPE = PRESETS["pgan"].model_copy(update={"trunk_weights": None})


def export_rows(folder: Path) -> list[Row]:
    """Return the table's rows; the program is written to `folder`. Both sides use as many threads as torch."""
    inputs = random_inputs(RECIPE, BATCH)
    network = build_network(RECIPE, VEHICLES, pretrained=False).to(memory_format=torch.channels_last).eval()
    calls: dict[str, Call] = {
        "onnxruntime": _onnxruntime(folder / "network.onnx"),
        "PyTorch, float32": lambda: run_in_pytorch(network, inputs),
        "PyTorch, bfloat16 as in `features`": in_bfloat16(lambda: run_in_pytorch(network, inputs)),
    }
    rates = {name: BATCH / seconds for name, seconds in best_seconds(calls, ROUNDS).items()}
    ours = rates.pop("onnxruntime")
    what = f"exported PGAN in onnxruntime, CPU, ResNet-50, 224 px, batch {BATCH}, float32"
    return [
        Row(what, f"{ours:.1f} images/s", f"{other}: {rate:.1f} images/s", f"{ours / rate:.2f} of its rate")
        for other, rate in rates.items()
    ]


def _onnxruntime(path: Path) -> Call:
    """Return a call of the exported network in onnxruntime."""
    exported = ExportedNetwork(build_network(RECIPE, VEHICLES, pretrained=False))
    write_program(path, exported, random_inputs(RECIPE, 2), {"outputs": OUTPUTS}, lambda run: None)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    arrays = {name: tensor.numpy() for name, tensor in random_inputs(RECIPE, BATCH).items()}
    return lambda: session.run(None, arrays)
