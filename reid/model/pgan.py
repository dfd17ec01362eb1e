"""PGAN, the part-guided attention network (arXiv 1909.06023): Section 3 of the paper, in its order.

Notation: images (B, 3, H, W); global feature map Fg (B, C, h, w), h = H/16; D part boxes per image, in [0, 1] of the
image; part masks M (B, D, h, w); attention weights w (B, D); fusion vector of size 2C'.

The part feature maps F_i = M_i * Fg (eq. 2) are never built. PAM needs their means over the masks, which is one matrix
product of masks and Fg; eq. 3 needs their weighted sum, which is Fg times the weighted sum of the masks.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from reid.model.backbones import Backbone
from reid.model.flip_test import embed_with_mirror
from reid.recipes import Attention, Pooling

WHOLE_MATRIX = -1  # weight_norm: one norm over all entries
STRIDE = 16  # pixels per cell of the feature map, of every backbone
EPSILON = 1e-4  # of a cell: a box that ends on the border of a cell does not touch the next cell
SMALLEST = 1e-12  # of a divisor and of what a root is taken of


class PGANOutput(NamedTuple):
    """Output for B images. The baseline has one branch: its `global_` and `part` are None."""

    logits: Tensor  # (B, vehicles) of the classifier, or cosines of features and class weights
    fusion: Tensor  # (B, 2C') refined fusion vector f_f, for the triplet loss
    global_: Tensor | None  # (B, C') refined global vector f_g
    part: Tensor | None  # (B, C') refined part-guided vector f_p
    feature: Tensor  # (B, 2C') after the BN neck; normalised, it is the feature used for evaluation
    attention: Tensor  # (B, D) weights w, 0 for absent parts; (B, h*w) for grid attention


# Section 3.2: part extraction


def part_masks(boxes: Tensor, present: Tensor, height: int, width: int) -> Tensor:
    """Eq. 1: return the binary masks of the cells that each box touches, at least one cell per box.

    boxes (B, D, 4) xyxy in [0, 1], present (B, D) bool -> (B, D, height, width) float32, 0 for absent parts.
    """
    rows = _touched_cells(boxes[..., 1], boxes[..., 3], height)
    columns = _touched_cells(boxes[..., 0], boxes[..., 2], width)
    return (rows[..., :, None] & columns[..., None, :] & present[..., None, None]).float()


def _touched_cells(low: Tensor, high: Tensor, cells: int) -> Tensor:
    first = (low * cells + EPSILON).floor().clamp(0, cells - 1)[..., None]
    last = (high * cells - EPSILON).ceil().clamp(max=cells)[..., None].maximum(first + 1)
    cell = torch.arange(cells, device=low.device)
    return (cell >= first) & (cell < last)


# Section 3.3: part feature learning


def masked_average(feature_map: Tensor, masks: Tensor) -> Tensor:
    """MGAP: return the mean of a feature map over each mask, 0 for an empty mask.

    (B, C, h, w), (B, D, h, w) -> (B, D, C).
    """
    area = masks.sum(dim=(2, 3)).clamp(min=1)[..., None]
    total = masks.flatten(2).to(feature_map.dtype) @ feature_map.flatten(2).transpose(1, 2)
    return total / area


class PartAttention(nn.Module):
    """PAM (eq. 4, Figure 2): FC, layer norm, ReLU, FC, mean over channels, softmax over the parts that are present.

    Both FC layers are weight-normalised over the whole matrix and the softmax has a temperature. The paper gives
    neither setting; these are the authors'.
    """

    def __init__(self, channels: int, *, temperature: float = 10.0, reduction: int = 4) -> None:
        """Create the layers C -> C / reduction -> C; the logits are multiplied by `temperature`."""
        super().__init__()
        self.squeeze = weight_norm(nn.Linear(channels, channels // reduction, bias=False), dim=WHOLE_MATRIX)
        self.norm = nn.LayerNorm(channels // reduction)
        self.expand = weight_norm(nn.Linear(channels // reduction, channels, bias=False), dim=WHOLE_MATRIX)
        self.temperature = temperature

    def forward(self, pooled: Tensor, present: Tensor) -> Tensor:
        """Pooled parts (B, D, C), present (B, D) -> weights (B, D): sum 1 over the parts present, 0 elsewhere."""
        hidden = torch.relu(self.norm(self.squeeze(pooled)))
        # The second FC and the mean over its channels are both linear, so one product with the mean row does both. It
        # is small enough for full precision, which autocast would reduce.
        mean_row = self.expand.weight.mean(dim=0)
        logits = (hidden.to(mean_row.dtype) * mean_row).sum(dim=2)
        return masked_softmax(logits * self.temperature, present)


def masked_softmax(logits: Tensor, present: Tensor) -> Tensor:
    """Return the softmax over the present entries of each row of (B, D), 0 elsewhere.

    A row without present entries is all 0, and so are its gradients.
    """
    weights = torch.softmax(logits.masked_fill(~present, torch.finfo(logits.dtype).min), dim=1)
    return weights * present


def equal_weights(present: Tensor) -> Tensor:
    """PGAN without PAM (Table 2): return the same weight for every present part."""
    return present / present.sum(dim=1, keepdim=True).clamp(min=1)


# Section 3.4: feature aggregation


def global_average_pool(x: Tensor) -> Tensor:
    """GAP: (B, C, h, w) -> (B, C).

    Sum and division instead of `mean`: the gradient of `mean` is laid out channels-first, and adding it to the other
    gradients of a channels-last map is slow. Autocast is off because on a GPU it would take the sum in float32, which
    changes the memory format of the gradient too.
    """
    with torch.autocast(x.device.type, enabled=False):
        return x.sum(dim=(2, 3)) / (x.shape[2] * x.shape[3])


class SqueezeExcitation(nn.Module):
    """SE block: scales the channels by a gate computed from their means."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        """Create the gate C -> C / reduction -> C."""
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(channels, channels // reduction, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(channels // reduction, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        gate: Tensor = self.gate(global_average_pool(x))
        return x * gate[:, :, None, None]


class ResidualBottleneck(nn.Module):
    """Pre-activation residual bottleneck; the shortcut is a 1 x 1 convolution of the activated input."""

    def __init__(self, channels: int, features: int) -> None:
        """Create the branch C -> features / 4 -> features / 4 -> features and the shortcut C -> features."""
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


class GeneralisedMean(nn.Module):
    """GeM (Radenovic et al. 2018): (mean x^p)^(1/p) of each channel, with one learned exponent p that starts at 3.

    p = 1 is the average, a large p the maximum. The authors' maps are not negative. Those of Refine have no ReLU, so
    their positive and negative parts are pooled apart and subtracted; then p = 1 is the average of any map. The order
    is at least 1, and an x is divided by the largest of its channel, so that no power overflows.
    """

    def __init__(self) -> None:
        """Create the exponent."""
        super().__init__()
        self.p = nn.Parameter(torch.tensor([3.0]))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C), computed in float32 at least."""
        with torch.autocast(x.device.type, enabled=False):
            precise = x if x.dtype == torch.float64 else x.float()
            return (self._pool(precise.relu()) - self._pool((-precise).relu())).to(x.dtype)

    def _pool(self, x: Tensor) -> Tensor:
        p = self.p.clamp(min=1)
        # A mean is proportional to x, so its gradient is the same with the largest value as a constant.
        largest = x.detach().amax(dim=(2, 3), keepdim=True).clamp(min=SMALLEST)
        mean = global_average_pool((x / largest) ** p)
        return largest[:, :, 0, 0] * mean.clamp(min=SMALLEST) ** (1 / p)  # the root has no gradient at 0


class Refine(nn.Sequential):
    """Refine: SE block, residual block, global pooling."""

    def __init__(self, channels: int, features: int, pooling: Pooling = "average") -> None:
        """Create the blocks C -> features, with the exponent of `pooling` "gem"."""
        super().__init__(SqueezeExcitation(channels), ResidualBottleneck(channels, features))
        if pooling == "gem":
            self.append(GeneralisedMean())
        self.pooling = pooling

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, features)."""
        for block in self:
            x = block(x)
        return global_average_pool(x) if self.pooling == "average" else x


class PGAN(nn.Module):
    """The network. `attention` selects PGAN ("parts") or an ablation: "equal" (without PAM), "grid", "none" (baseline).

    The submodule `trunk` is the backbone; the name is part of the checkpoint format.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        vehicles: int,
        attention: Attention,
        features: int = 512,
        temperature: float = 10.0,
        cosine_logits: bool = False,
        pooling: Pooling = "average",
        flip_test: bool = False,
    ) -> None:
        """Create the head on `backbone`; `vehicles` is the number of classes, `features` is 2C'.

        With `cosine_logits`, for losses with an angular margin, feature and class weights are normalised.
        """
        super().__init__()
        channels = backbone.channels
        self.trunk = backbone
        self.attention_kind = attention
        self.cosine_logits = cosine_logits
        self.flip_test = flip_test
        if attention in ("parts", "grid"):
            self.attention = PartAttention(channels, temperature=temperature)
        if attention == "none":
            self.refine_fusion = Refine(channels, features, pooling)
        else:
            self.refine_fusion = Refine(2 * channels, features, pooling)
            self.refine_global = Refine(channels, features // 2, pooling)
            self.refine_part = Refine(channels, features // 2, pooling)
        self.neck = nn.BatchNorm1d(features)
        self.neck.bias.requires_grad_(False)  # BN without shift
        self.classifier = nn.Linear(features, vehicles, bias=False)
        _initialise_head(self)

    def forward(self, images: Tensor, boxes: Tensor, present: Tensor) -> PGANOutput:
        """images (B, 3, H, W) normalised, boxes (B, D, 4) xyxy in [0, 1], present (B, D) bool."""
        global_map, part_map, weights = self.maps(images, boxes, present)  # Fg, Fp, w
        fusion, global_, part = self._fusion(global_map, part_map), None, None
        if part_map is not None:
            global_, part = self.refine_global(global_map), self.refine_part(part_map)
        feature = self.neck(fusion)
        return PGANOutput(self._logits(feature), fusion, global_, part, feature, weights)

    def embed(self, images: Tensor, boxes: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Return `feature` and `attention` of the output of `forward`, without what only the losses need.

        With `flip_test` they are means with those of the mirror images, see `embed_with_mirror`.
        """
        if self.flip_test:
            columns = images.shape[3] // STRIDE if self.attention_kind == "grid" else None
            return embed_with_mirror(self._embed, images, boxes, present, columns=columns)
        return self._embed(images, boxes, present)

    def _embed(self, images: Tensor, boxes: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        global_map, part_map, weights = self.maps(images, boxes, present)
        return self.neck(self._fusion(global_map, part_map)), weights

    def _logits(self, feature: Tensor) -> Tensor:
        """Return the logits of `PGANOutput`."""
        logits: Tensor = cosines(feature, self.classifier.weight) if self.cosine_logits else self.classifier(feature)
        return logits

    def _fusion(self, global_map: Tensor, part_map: Tensor | None) -> Tensor:
        """Return the refined fusion vector of Ff = concat(Fg, Fp); of Fg for the baseline."""
        both = global_map if part_map is None else torch.cat([global_map, part_map], dim=1)
        fusion: Tensor = self.refine_fusion(both)
        return fusion

    def maps(self, images: Tensor, boxes: Tensor, present: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return Fg and Fp, (B, C, h, w), and the attention as in `PGANOutput`; Fp is None for the baseline."""
        global_map = self.trunk(images)
        if self.attention_kind == "none":
            return global_map, None, present.new_zeros(present.shape, dtype=torch.float32)
        return global_map, *self._part_guided(global_map, boxes, present)

    def _part_guided(self, global_map: Tensor, boxes: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Return Fp = sum_i w_i F_i + Fg = Fg * (1 + sum_i w_i M_i) (eq. 3), and the weights w."""
        batch, _, height, width = global_map.shape
        if self.attention_kind == "grid":  # every cell is a part
            cells = global_map.flatten(2).transpose(1, 2)
            weights = self.attention(cells, present.new_ones(batch, height * width))
            weight_map = weights.view(batch, height, width)
        else:
            masks = part_masks(boxes, present, height, width)
            if self.attention_kind == "equal" or present.shape[1] == 0:
                weights = equal_weights(present)
            else:
                weights = self.attention(masked_average(global_map, masks), present)
            weight_map = (weights[:, :, None, None] * masks).sum(dim=1)
        return global_map * (1 + weight_map[:, None]).to(global_map.dtype), weights


def cosines(features: Tensor, weight: Tensor) -> Tensor:
    """Return the cosines of features (B, C) and class weights (V, C), (B, V).

    In float32, because a loss multiplies them by 20 or more, and their rounding with them.
    """
    with torch.autocast(features.device.type, enabled=False):
        return functional.linear(functional.normalize(features.float()), functional.normalize(weight))


def _initialise_head(network: PGAN) -> None:
    """Initialise the refine blocks by Kaiming and the classifier by a small normal, as strong re-ID baselines do."""
    for name, module in network.named_modules():
        if name.startswith("refine_") and isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in")
        elif name.startswith("refine_") and isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    nn.init.normal_(network.classifier.weight, std=0.001)
