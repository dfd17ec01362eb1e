"""PAM with its masks, forward and backward, against eq. 2 built literally (the part maps F_i as tensors).

The network's trunk gives Fg channels-last, and so does the row that counts; the other lets the literal form have the
order of memory in which it is faster.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.measure import best_seconds, peak_bytes
from reid.model.pgan import PartAttention, masked_average, masked_softmax, part_masks

BATCH, DEPTH, CHANNELS, SIDE = 64, 8, 2048, 14
Form = Callable[[PartAttention, Tensor, Tensor, Tensor], Tensor]


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


def part_attention_rows(device: str) -> list[tuple[str, str, str, str, str]]:
    """Return the table's rows: time in both orders of memory, and memory."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(BATCH, DEPTH, 2, 2, generator=generator).sort(dim=2).values.flatten(2).to(device)
    present = torch.ones(BATCH, DEPTH, dtype=torch.bool, device=device)
    masks = part_masks(corners, present, SIDE, SIDE)
    attention = PartAttention(CHANNELS).to(device)

    def step(form: Form, order: torch.memory_format) -> Callable[[], None]:
        trunk_map, gradient = (
            torch.randn(BATCH, CHANNELS, SIDE, SIDE, generator=generator).to(device).contiguous(memory_format=order)
            for _ in range(2)
        )
        trunk_map.requires_grad_()

        def call() -> None:
            trunk_map.grad = None
            form(attention, trunk_map, masks, present).backward(gradient)  # type: ignore[no-untyped-call]

        return call

    last, first = torch.channels_last, torch.contiguous_format
    ours, theirs, theirs_first = step(contracted, last), step(literal, last), step(literal, first)
    seconds = best_seconds({"ours": ours, "last": theirs, "first": theirs_first}, rounds=3)
    memory = {"ours": peak_bytes(ours, device), "theirs": peak_bytes(theirs_first, device)}
    what = f"PAM + masks, forward and backward, B {BATCH}, D {DEPTH}, C {CHANNELS}, {SIDE} x {SIDE}"
    return [
        _time(
            what, seconds["ours"], seconds["last"], "eq. 2 literally, channels-last as the trunk gives it", ">= 10 x"
        ),
        _time("the same", seconds["ours"], seconds["first"], "eq. 2 literally, channels first", ""),
        (
            "its memory",
            f"{memory['ours'] / 2**30:.2f} GiB",
            f"{memory['theirs'] / 2**30:.2f} GiB",
            f"{memory['ours'] / memory['theirs']:.2f} of it",
            "<= 0.25",
        ),
    ]


def _time(what: str, ours: float, theirs: float, form: str, target: str) -> tuple[str, str, str, str, str]:
    return what, f"{ours:.4f} s", f"{form}: {theirs:.4f} s", f"{theirs / ours:.1f} x faster", target
