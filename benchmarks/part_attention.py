"""PAM with its masks, forward and backward, against eq. 2 built literally (the part maps F_i as tensors)."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks.measure import best_seconds, peak_bytes
from reid.pgan import PartAttention, masked_average, masked_softmax, part_masks

BATCH, DEPTH, CHANNELS, SIDE = 64, 8, 2048, 14


def contracted(attention: PartAttention, trunk_map: Tensor, masks: Tensor, present: Tensor) -> Tensor:
    """Fp as the network makes it: one matrix product, one weighted sum of masks."""
    weights: Tensor = attention(masked_average(trunk_map, masks), present)
    return trunk_map * (1 + (weights[:, :, None, None] * masks).sum(dim=1, keepdim=True))


def literal(attention: PartAttention, trunk_map: Tensor, masks: Tensor, present: Tensor) -> Tensor:
    """Fp as the paper writes it: F_i of shape (B, D, C, h, w), their mean over the mask, their weighted sum."""
    part_maps = masks[:, :, None] * trunk_map[:, None]
    pooled = part_maps.sum(dim=(3, 4)) / masks.sum(dim=(2, 3)).clamp(min=1)[..., None]
    logits = attention.expand(torch.relu(attention.norm(attention.squeeze(pooled)))).mean(dim=2)
    weights = masked_softmax(logits * attention.temperature, present)
    return (weights[:, :, None, None, None] * part_maps).sum(dim=1) + trunk_map


def part_attention_rows() -> list[tuple[str, str, str, str, str]]:
    """Return the table's rows: time and memory."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(BATCH, DEPTH, 2, 2, generator=generator).sort(dim=2).values
    present = torch.ones(BATCH, DEPTH, dtype=torch.bool)
    masks = part_masks(corners.flatten(2), present, SIDE, SIDE)
    trunk_map = torch.randn(BATCH, CHANNELS, SIDE, SIDE, generator=generator).requires_grad_()
    attention = PartAttention(CHANNELS)

    def step(forward: Callable[[PartAttention, Tensor, Tensor, Tensor], Tensor]) -> None:
        loss = forward(attention, trunk_map, masks, present).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]

    forms = {"ours": partial(step, contracted), "literal": partial(step, literal)}
    seconds = best_seconds(forms, rounds=3)
    memory = {name: peak_bytes(call) for name, call in forms.items()}
    what = f"PAM + masks, forward and backward, B {BATCH}, D {DEPTH}, C {CHANNELS}, {SIDE} x {SIDE}"
    return [
        (
            what,
            f"{seconds['ours']:.3f} s",
            f"eq. 2 literally {seconds['literal']:.3f} s",
            f"{seconds['literal'] / seconds['ours']:.1f} x faster",
            ">= 10 x",
        ),
        (
            "its memory",
            f"{memory['ours'] / 2**30:.2f} GiB",
            f"{memory['literal'] / 2**30:.2f} GiB",
            f"{memory['ours'] / memory['literal']:.2f} of it",
            "<= 0.25",
        ),
    ]
