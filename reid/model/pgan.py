"""PGAN, the part-guided attention network (arXiv 1909.06023): this file is the paper's Section 3, in its order.

Shapes: image (B, 3, H, W); trunk map Fg (B, C, h, w) with h = H/16; D part boxes an image in [0, 1] of the image;
masks M (B, D, h, w); attention w (B, D). The paper's F_i = M_i * Fg (eq. 2) are never built: what is needed of them is
their mean over the mask, one matrix product of masks with Fg, and their weighted sum, Fg times the sum of w_i M_i.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from reid.model.backbones import Trunk
from reid.recipes import Attention

WHOLE_MATRIX = -1  # weight_norm's name for one norm over all entries
BORDER = 1e-4  # of a cell: a box that ends on a cell's border does not reach into the next


class PGANOutput(NamedTuple):
    """What the network tells of B images; `global_` and `part` are None for the baseline, which has only one branch."""

    logits: Tensor  # (B, vehicles) of the classifier
    fusion: Tensor  # (B, 2C') refined fusion vector f_f, for the triplet loss
    global_: Tensor | None  # (B, C') refined global vector f_g
    part: Tensor | None  # (B, C') refined part vector f_p
    feature: Tensor  # (B, 2C') BN-neck output: normalised, it is the feature of evaluation
    attention: Tensor  # (B, D) weights, 0 where a part is absent; (B, h*w) for the grid


def part_masks(boxes: Tensor, present: Tensor, height: int, width: int) -> Tensor:
    """Eq. 1: the masks of the cells that each box touches, at least one.

    boxes (B, D, 4) xyxy in [0, 1], present (B, D) bool -> (B, D, height, width) float32 of 0 and 1, 0 where absent.
    """
    rows = _touched(boxes[..., 1], boxes[..., 3], height)
    columns = _touched(boxes[..., 0], boxes[..., 2], width)
    return (rows[..., :, None] & columns[..., None, :] & present[..., None, None]).float()


def _touched(low: Tensor, high: Tensor, cells: int) -> Tensor:
    first = (low * cells + BORDER).floor().clamp(0, cells - 1)[..., None]
    last = (high * cells - BORDER).ceil().clamp(max=cells)[..., None].maximum(first + 1)
    cell = torch.arange(cells, device=low.device)
    return (cell >= first) & (cell < last)


def masked_average(trunk_map: Tensor, masks: Tensor) -> Tensor:
    """MGAP: the mean of Fg over each mask. (B, C, h, w), (B, D, h, w) -> (B, D, C); 0 where a mask is empty."""
    area = masks.sum(dim=(2, 3)).clamp(min=1)[..., None]
    total = masks.flatten(2).to(trunk_map.dtype) @ trunk_map.flatten(2).transpose(1, 2)
    return total / area


class PartAttention(nn.Module):
    """PAM (eq. 4, Figure 2): FC, layer norm, ReLU, FC, mean over channels, softmax over the parts that are present.

    Both FC layers are weight-normalised over the whole matrix, and the logits are multiplied by `temperature` (the
    authors' settings, 10 for the latter; the paper gives neither).
    """

    def __init__(self, channels: int, *, temperature: float = 10.0, reduction: int = 4) -> None:
        """Make the two layers C -> C / reduction -> C."""
        super().__init__()
        self.squeeze = weight_norm(nn.Linear(channels, channels // reduction, bias=False), dim=WHOLE_MATRIX)
        self.norm = nn.LayerNorm(channels // reduction)
        self.expand = weight_norm(nn.Linear(channels // reduction, channels, bias=False), dim=WHOLE_MATRIX)
        self.temperature = temperature

    def forward(self, pooled: Tensor, present: Tensor) -> Tensor:
        """Pooled parts (B, D, C), present (B, D) -> weights (B, D): sum 1 over the parts present, 0 elsewhere."""
        hidden = torch.relu(self.norm(self.squeeze(pooled)))
        # The second FC and the mean over its channels are linear: the product with the mean of its rows is both, and
        # small enough for the full precision that autocast would take away.
        mean_row = self.expand.weight.mean(dim=0)
        logits = (hidden.to(mean_row.dtype) * mean_row).sum(dim=2)
        return masked_softmax(logits * self.temperature, present)


def masked_softmax(logits: Tensor, present: Tensor) -> Tensor:
    """Softmax over the present entries of (B, D), 0 elsewhere; a row with none is all 0, with gradients that are 0."""
    weights = torch.softmax(logits.masked_fill(~present, torch.finfo(logits.dtype).min), dim=1)
    return weights * present


def equal_weights(present: Tensor) -> Tensor:
    """PGAN without PAM (Table 2): every part present weighs the same."""
    return present / present.sum(dim=1, keepdim=True).clamp(min=1)


def channel_means(x: Tensor) -> Tensor:
    """Mean over the pixels, (B, C, h, w) -> (B, C).

    A sum divided, because its gradient is a broadcast view; that of `mean` is laid out channels-first, whatever x is,
    and adding it to the other gradients of a channels-last map takes longer than all else in the block but products.
    Without autocast, which on a GPU would take the sum in float32 and so give the gradient another order of memory.
    """
    with torch.autocast(x.device.type, enabled=False):
        return x.sum(dim=(2, 3)) / (x.shape[2] * x.shape[3])


class SqueezeExcitation(nn.Module):
    """SE block: channels weighed by a gate that looks at their means."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        """Make the gate C -> C / reduction -> C."""
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(channels, channels // reduction, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(channels // reduction, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        gate: Tensor = self.gate(channel_means(x))
        return x * gate[:, :, None, None]


class ResidualBottleneck(nn.Module):
    """Pre-activation residual bottleneck; the shortcut takes the activated input through a 1 x 1 convolution."""

    def __init__(self, channels: int, features: int) -> None:
        """Make the branch C -> features / 4 -> features / 4 -> features, and the shortcut C -> features."""
        super().__init__()
        middle = features // 4
        self.activate = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
        self.branch = nn.Sequential(
            nn.Conv2d(channels, middle, 1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
            nn.Conv2d(middle, middle, 3, padding=1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
            nn.Conv2d(middle, features, 1, bias=False),
        )
        self.shortcut = nn.Conv2d(channels, features, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, features, h, w)."""
        activated = self.activate(x)
        refined: Tensor = self.branch(activated) + self.shortcut(activated)
        return refined


class Refine(nn.Sequential):
    """Section 3.4: SE block, residual block, global average pooling. (B, C, h, w) -> (B, features)."""

    def __init__(self, channels: int, features: int) -> None:
        """Refine `channels` to `features`."""
        super().__init__(SqueezeExcitation(channels), ResidualBottleneck(channels, features))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, features)."""
        for block in self:
            x = block(x)
        return channel_means(x)


class PGAN(nn.Module):
    """The whole network, and by `attention` its ablations: parts (PGAN), equal (without PAM), grid, none (baseline)."""

    def __init__(
        self, trunk: Trunk, *, vehicles: int, attention: Attention, features: int = 512, temperature: float = 10.0
    ) -> None:
        """Compose the trunk with the head; `features` is 2C', the size of the fusion vector."""
        super().__init__()
        channels = trunk.channels
        self.trunk = trunk
        self.attention_kind = attention
        if attention in ("parts", "grid"):
            self.attention = PartAttention(channels, temperature=temperature)
        if attention == "none":
            self.refine_fusion = Refine(channels, features)
        else:
            self.refine_fusion = Refine(2 * channels, features)
            self.refine_global = Refine(channels, features // 2)
            self.refine_part = Refine(channels, features // 2)
        self.neck = nn.BatchNorm1d(features)
        self.neck.bias.requires_grad_(False)  # no shift
        self.classifier = nn.Linear(features, vehicles, bias=False)
        _initialise_head(self)

    def forward(self, images: Tensor, boxes: Tensor, present: Tensor) -> PGANOutput:
        """images (B, 3, H, W) normalised, boxes (B, D, 4) xyxy in [0, 1], present (B, D) bool."""
        trunk_map, part_map, weights = self.maps(images, boxes, present)  # Fg, Fp, w
        if part_map is None:
            return self._output(self.refine_fusion(trunk_map), None, None, weights)
        fusion = self.refine_fusion(torch.cat([trunk_map, part_map], dim=1))  # Ff = concat(Fg, Fp)
        return self._output(fusion, self.refine_global(trunk_map), self.refine_part(part_map), weights)

    def maps(self, images: Tensor, boxes: Tensor, present: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return Fg and Fp, (B, C, h, w), and the attention as of `PGANOutput`; the baseline has no Fp."""
        trunk_map = self.trunk(images)
        if self.attention_kind == "none":
            return trunk_map, None, present.new_zeros(present.shape, dtype=torch.float32)
        return trunk_map, *self._attend(trunk_map, boxes, present)

    def _attend(self, trunk_map: Tensor, boxes: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Eq. 3: Fp = sum w_i F_i + Fg = Fg * (1 + sum w_i M_i), and the weights w."""
        batch, _, height, width = trunk_map.shape
        if self.attention_kind == "grid":
            cells = trunk_map.flatten(2).transpose(1, 2)
            weights = self.attention(cells, present.new_ones(batch, height * width))
            emphasis = weights.view(batch, height, width)
        else:
            masks = part_masks(boxes, present, height, width)
            weights = self._part_weights(trunk_map, masks, present)
            emphasis = (weights[:, :, None, None] * masks).sum(dim=1)
        return trunk_map * (1 + emphasis[:, None]).to(trunk_map.dtype), weights

    def _part_weights(self, trunk_map: Tensor, masks: Tensor, present: Tensor) -> Tensor:
        if self.attention_kind == "equal" or present.shape[1] == 0:
            return equal_weights(present)
        weights: Tensor = self.attention(masked_average(trunk_map, masks), present)
        return weights

    def _output(self, fusion: Tensor, global_: Tensor | None, part: Tensor | None, weights: Tensor) -> PGANOutput:
        feature = self.neck(fusion)
        return PGANOutput(self.classifier(feature), fusion, global_, part, feature, weights)


class PooledTrunk(nn.Module):
    """A trunk's pooled map as the feature: what pre-training alone gives, with the interface of `PGAN`."""

    def __init__(self, trunk: Trunk) -> None:
        """Keep the trunk."""
        super().__init__()
        self.trunk = trunk

    def forward(self, images: Tensor, boxes: Tensor, present: Tensor) -> PGANOutput:
        """images (B, 3, H, W) -> feature (B, C); the boxes are not looked at."""
        pooled = channel_means(self.trunk(images))
        return PGANOutput(pooled, pooled, None, None, pooled, present.new_zeros(present.shape, dtype=torch.float32))


def _initialise_head(network: PGAN) -> None:
    """Kaiming for the refine blocks and a small normal for the classifier, as strong re-ID baselines do."""
    for name, module in network.named_modules():
        if name.startswith("refine_") and isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in")
        elif name.startswith("refine_") and isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    nn.init.normal_(network.classifier.weight, std=0.001)
