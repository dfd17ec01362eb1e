"""PAM with its masks, forward and backward, against eq. 2 built literally (the part maps F_i as tensors).

The target applies to channels-last maps, as the network's backbone returns them; the literal form is faster with
channels first, which is a row of its own.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.measure import Row, best_seconds, peak_bytes
from reid.model.pgan import PartAttention, masked_average, masked_softmax, part_masks

BATCH, TOP_D, CHANNELS, SIDE = 64, 8, 2048, 14
Form = Callable[[PartAttention, Tensor, Tensor, Tensor], Tensor]


def contracted(attention: PartAttention, global_map: Tensor, masks: Tensor, present: Tensor) -> Tensor:
    """Return Fp as the network computes it: one matrix product and one weighted sum of masks."""
    weights: Tensor = attention(masked_average(global_map, masks), present)
    return global_map * (1 + (weights[:, :, None, None] * masks).sum(dim=1, keepdim=True))


def literal(attention: PartAttention, global_map: Tensor, masks: Tensor, present: Tensor) -> Tensor:
    """Return Fp as in the paper: F_i of shape (B, D, C, h, w), their means over the masks, their weighted sum."""
    part_maps = masks[:, :, None] * global_map[:, None]
    pooled = part_maps.sum(dim=(3, 4)) / masks.sum(dim=(2, 3)).clamp(min=1)[..., None]
    logits = attention.expand(torch.relu(attention.norm(attention.squeeze(pooled)))).mean(dim=2)
    weights = masked_softmax(logits * attention.temperature, present)
    return (weights[:, :, None, None, None] * part_maps).sum(dim=1) + global_map


def part_attention_rows(device: str) -> list[Row]:
    """Return the table's rows: time in both memory formats, and memory."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(BATCH, TOP_D, 2, 2, generator=generator).sort(dim=2).values.flatten(2).to(device)
    present = torch.ones(BATCH, TOP_D, dtype=torch.bool, device=device)
    masks = part_masks(corners, present, SIDE, SIDE)
    attention = PartAttention(CHANNELS).to(device)

    def step(form: Form, memory_format: torch.memory_format) -> Callable[[], None]:
        global_map, gradient = (
            torch.randn(BATCH, CHANNELS, SIDE, SIDE, generator=generator)
            .to(device)
            .contiguous(memory_format=memory_format)
            for _ in range(2)
        )
        global_map.requires_grad_()

        def call() -> None:
            global_map.grad = None
            form(attention, global_map, masks, present).backward(gradient)  # type: ignore[no-untyped-call]

        return call

    ours = step(contracted, torch.channels_last)
    last, first = step(literal, torch.channels_last), step(literal, torch.contiguous_format)
    seconds = best_seconds({"ours": ours, "last": last, "first": first}, rounds=3)
    memory = {"ours": peak_bytes(ours, device), "literal": peak_bytes(first, device)}

    def time_row(what: str, form: str, target: str = "") -> Row:
        other = f"eq. 2 literally, channels {form}: {seconds[form]:.4f} s"
        return Row(what, f"{seconds['ours']:.4f} s", other, f"{seconds[form] / seconds['ours']:.1f} x faster", target)

    return [
        time_row(
            f"PAM + masks, forward and backward, B {BATCH}, D {TOP_D}, C {CHANNELS}, {SIDE} x {SIDE}", "last", ">= 10 x"
        ),
        time_row("the same", "first"),
        Row(
            "its memory",
            f"{memory['ours'] / 2**30:.2f} GiB",
            f"{memory['literal'] / 2**30:.2f} GiB",
            f"{memory['ours'] / memory['literal']:.2f} of it",
            "<= 0.25",
        ),
    ]
