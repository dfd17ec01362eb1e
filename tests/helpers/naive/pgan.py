"""Section 3 of the paper built literally, image by image and pixel by pixel, in float64."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import nn

from reid.model.pgan import PGAN

Array = NDArray[np.float64]
EPSILON = 1e-4  # of a cell


def numbers(module: nn.Module) -> dict[str, Array]:
    """The module's parameters and buffers by name."""
    return {name: value.detach().double().numpy() for name, value in module.state_dict().items()}


def cells_touched(low: float, high: float, cells: int) -> set[int]:
    """The cells that a side of a box enters by more than epsilon; if none, the cell where it starts."""
    low, high = low * cells, high * cells
    touched = {cell for cell in range(cells) if cell + 1 > low + EPSILON and cell < high - EPSILON}
    inside = min(max(int(np.floor(low + EPSILON)), 0), cells - 1)
    return touched or {inside}


def literal_mask(box: Array, height: int, width: int) -> Array:
    """Eq. 1, pixel by pixel."""
    rows, columns = cells_touched(box[1], box[3], height), cells_touched(box[0], box[2], width)
    mask = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            mask[row, column] = float(row in rows and column in columns)
    return mask


def literal_average(part_map: Array, mask: Array) -> Array:
    """mgap(F_i, M_i): the sum of the elements over |M_i|."""
    return np.array([channel.sum() / mask.sum() for channel in part_map])


def literal_psi(pooled: Array, state: Mapping[str, Array], prefix: str = "attention.") -> float:
    """psi of eq. 4 by Figure 2: FC with WN, LN, ReLU, FC with WN, mean."""
    squeeze, expand = (
        state[f"{prefix}{layer}.parametrizations.weight.original0"].item()
        * state[f"{prefix}{layer}.parametrizations.weight.original1"]
        / np.sqrt((state[f"{prefix}{layer}.parametrizations.weight.original1"] ** 2).sum())
        for layer in ("squeeze", "expand")
    )
    hidden = squeeze @ pooled
    hidden = (hidden - hidden.mean()) / np.sqrt(hidden.var() + 1e-5)
    hidden = hidden * state[f"{prefix}norm.weight"] + state[f"{prefix}norm.bias"]
    return float((expand @ np.maximum(hidden, 0)).mean())


def literal_attention(global_map: Array, masks: list[Array], state: Mapping[str, Array], temperature: float) -> Array:
    """Eq. 4 over the present parts, whose masks are given."""
    psi = [literal_psi(literal_average(mask * global_map, mask), state) for mask in masks]
    exponentials = np.exp(temperature * (np.array(psi) - max(psi)))
    return exponentials / exponentials.sum()


def literal_part_map(global_map: Array, masks: list[Array], weights: Array) -> Array:
    """Eq. 2 and 3: Fp = sum of w_i F_i + Fg with F_i = M_i * Fg."""
    part_map = global_map.copy()
    for weight, mask in zip(weights, masks, strict=True):
        part_map += weight * (mask[None] * global_map)
    return part_map


def literal_se(x: Array, state: Mapping[str, Array], prefix: str) -> Array:
    squeezed = np.array([channel.mean() for channel in x])
    hidden = np.maximum(state[f"{prefix}gate.0.weight"] @ squeezed, 0)
    gate = 1 / (1 + np.exp(-(state[f"{prefix}gate.2.weight"] @ hidden)))
    return np.stack([weight * channel for weight, channel in zip(gate, x, strict=True)])


def literal_norm_relu(x: Array, state: Mapping[str, Array], prefix: str) -> Array:
    mean, variance = state[f"{prefix}running_mean"], state[f"{prefix}running_var"]
    scale = state[f"{prefix}weight"] / np.sqrt(variance + 1e-5)
    return np.maximum((x - mean[:, None, None]) * scale[:, None, None] + state[f"{prefix}bias"][:, None, None], 0)


def literal_convolution(x: Array, weight: Array) -> Array:
    margin = weight.shape[-1] // 2
    padded = np.pad(x, ((0, 0), (margin, margin), (margin, margin)))
    result = np.zeros((len(weight), *x.shape[1:]))
    for row in range(x.shape[1]):
        for column in range(x.shape[2]):
            window = padded[:, row : row + weight.shape[2], column : column + weight.shape[3]]
            result[:, row, column] = (weight * window[None]).sum(axis=(1, 2, 3))
    return result


def literal_bottleneck(x: Array, state: Mapping[str, Array], prefix: str) -> Array:
    activated = literal_norm_relu(x, state, f"{prefix}activate.0.")
    hidden = literal_convolution(activated, state[f"{prefix}branch.0.weight"])
    hidden = literal_norm_relu(hidden, state, f"{prefix}branch.1.")
    hidden = literal_convolution(hidden, state[f"{prefix}branch.3.weight"])
    hidden = literal_norm_relu(hidden, state, f"{prefix}branch.4.")
    hidden = literal_convolution(hidden, state[f"{prefix}branch.6.weight"])
    return hidden + literal_convolution(activated, state[f"{prefix}shortcut.weight"])


def literal_refine(x: Array, state: Mapping[str, Array], name: str) -> Array:
    refined = literal_bottleneck(literal_se(x, state, f"{name}.0."), state, f"{name}.1.")
    return np.array([channel.mean() for channel in refined])


def literal_output(network: PGAN, global_map: Array, boxes: Array, present: NDArray[np.bool_]) -> dict[str, Array]:
    """Section 3 for one image, from Fg on; absent parts are left out."""
    state, (height, width) = numbers(network), global_map.shape[1:]
    if network.attention_kind == "grid":
        masks = list(np.eye(height * width).reshape(-1, height, width))
    else:
        masks = [literal_mask(box, height, width) for box in boxes[present]]
    output = {}
    if network.attention_kind == "none":
        output["fusion"] = literal_refine(global_map, state, "refine_fusion")
    else:
        weights = np.full(len(masks), 1 / max(1, len(masks)))
        if network.attention_kind != "equal" and masks:
            weights = literal_attention(global_map, masks, state, network.attention.temperature)
        part_map = literal_part_map(global_map, masks, weights)
        output["attention"] = weights
        output["fusion"] = literal_refine(np.concatenate([global_map, part_map]), state, "refine_fusion")
        output["global_"] = literal_refine(global_map, state, "refine_global")
        output["part"] = literal_refine(part_map, state, "refine_part")
    centred = output["fusion"] - state["neck.running_mean"]
    output["feature"] = centred / np.sqrt(state["neck.running_var"] + 1e-5) * state["neck.weight"] + state["neck.bias"]
    output["logits"] = state["classifier.weight"] @ output["feature"]
    return output
