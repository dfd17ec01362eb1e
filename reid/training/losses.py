"""The training loss, eq. 5: L = lambda Lc + Lf + Lg + Lp.

Lc is the cross-entropy of the classifier; Lf, Lg and Lp are batch-hard triplet losses on the three refined vectors.
Options that are not in the paper replace either kind: ArcFace and label smoothing Lc, the circle loss the triplets.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from reid.distributed import gathered
from reid.model.pgan import PGANOutput
from reid.model.pgan_plus import PGANPlusOutput

COSINE_SCALE = 20.0  # of the cosines of PGAN+ in their cross-entropy


def pairwise_distances(vectors: Tensor) -> Tensor:
    """Return Euclidean distances (B, B) of vectors (B, C), in float32; the gradient at distance 0 is 0.

    NaN and infinity in the vectors give NaN.
    """
    vectors = vectors.float()
    squares = vectors.square().sum(dim=1)
    squared = squares[:, None] + squares[None, :] - 2 * vectors @ vectors.T
    apart = ~(squared <= 1e-12)  # excludes pairs at 0, where the gradient of the root is infinite, but not NaN
    return torch.where(apart, squared, 1.0).sqrt() * apart


def batch_hard_triplet(vectors: Tensor, vehicle: Tensor, margin: float) -> Tensor:
    """Return the mean over anchors of max(0, margin + farthest positive - nearest negative).

    vectors (B, C), vehicle (B,) class numbers. Anchors without a positive or without a negative in the batch do not
    count; if none is left the loss is 0.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        distances = pairwise_distances(vectors)
        same = vehicle[:, None] == vehicle[None, :]
        positive = same & ~torch.eye(len(vehicle), dtype=torch.bool, device=vehicle.device)
        farthest = distances.masked_fill(~positive, -torch.inf).amax(dim=1)
        nearest = distances.masked_fill(same, torch.inf).amin(dim=1)
        valid = positive.any(dim=1) & (~same).any(dim=1)
        hinge = functional.relu(margin + farthest - nearest)  # 0 for invalid anchors, where one distance is infinite
        return hinge.sum() / valid.sum().clamp(min=1)


class Margin(NamedTuple):
    """Margin and scale of a loss on cosines."""

    margin: float
    scale: float


def circle_loss(vectors: Tensor, vehicle: Tensor, margin: float, scale: float) -> Tensor:
    """Return the mean over anchors of the circle loss (arXiv 2002.10857, eq. 6 to 8) on cosines.

    log(1 + sum_n exp(scale a_n (s_n - m)) sum_p exp(-scale a_p (s_p - 1 + m))), s_p and s_n the cosines to positives
    and negatives, with the weights a_p = max(0, 1 + m - s_p) and a_n = max(0, s_n + m), constant in the gradient.
    vectors (B, C), vehicle (B,) class numbers. Anchors without a positive or without a negative in the batch do not
    count; if none is left the loss is 0.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        unit = functional.normalize(vectors.float())
        cosines = unit @ unit.T
        same = vehicle[:, None] == vehicle[None, :]
        positive = same & ~torch.eye(len(vehicle), dtype=torch.bool, device=vehicle.device)
        weight_positive = (1 + margin - cosines.detach()).clamp(min=0)
        weight_negative = (cosines.detach() + margin).clamp(min=0)
        lowest = torch.finfo(cosines.dtype).min  # not -infinity, whose log-sum-exp has no gradient
        far = (-scale * weight_positive * (cosines - 1 + margin)).masked_fill(~positive, lowest).logsumexp(dim=1)
        near = (scale * weight_negative * (cosines - margin)).masked_fill(same, lowest).logsumexp(dim=1)
        valid = positive.any(dim=1) & (~same).any(dim=1)
        return functional.softplus(far + near).sum() / valid.sum().clamp(min=1)  # 0 for invalid anchors


def arcface_logits(cosines: Tensor, vehicle: Tensor, margin: float, scale: float) -> Tensor:
    """Return scale * cos(angle + margin) for the own class and scale * cosine for the others (arXiv 1801.07698, eq. 3).

    cosines (B, vehicles), vehicle (B,) class numbers. Beyond pi - margin, where cos(angle + margin) would rise again,
    it goes on with the slope of the cosine, so that a larger angle always costs more.
    """
    own = cosines.gather(1, vehicle[:, None])
    sine = (1 - own.square()).clamp(min=1e-6).sqrt()  # its gradient at 0 would be infinite
    turned = own * math.cos(margin) - sine * math.sin(margin)
    own = torch.where(own > -math.cos(margin), turned, own - 1 + math.cos(margin))
    return scale * cosines.scatter(1, vehicle[:, None], own)


@dataclass(frozen=True)
class Criterion:
    """The loss of eq. 5. `triplets` names the vectors with a triplet term: fusion, global, part.

    With `arc` the logits are cosines and the identity term is ArcFace; with `circle` the vectors of `triplets` have the
    circle loss instead.
    """

    identity_weight: float = 2.0
    margin: float = 0.3
    triplets: tuple[str, ...] = ("fusion", "global", "part")
    label_smoothing: float = 0.0
    arc: Margin | None = None
    circle: Margin | None = None
    slot_weight: float = 1.0

    def __call__(self, output: PGANOutput, vehicle: Tensor) -> dict[str, Tensor]:
        """Return the terms by name and their weighted sum as "loss"; vehicle (B,) holds class numbers."""
        logits = output.logits.float()
        if self.arc is not None:
            logits = arcface_logits(logits, vehicle, *self.arc)
        terms = {"identity": self._cross_entropy(logits, vehicle)}
        vectors = {"fusion": output.fusion, "global": output.global_, "part": output.part}
        for name in self.triplets:
            vector = vectors[name]
            if vector is not None:  # the baseline has the fusion vector only
                terms[name] = self._metric_loss(vector, vehicle)
        total = self.identity_weight * terms["identity"] + sum(terms[name] for name in terms if name != "identity")
        return {"loss": total, **terms}

    def with_parts(self, output: PGANPlusOutput, vehicle: Tensor) -> dict[str, Tensor]:
        """Return the terms of PGAN+: those of the whole image, of its slots, and of both joined."""
        whole = self(output.whole, vehicle)
        terms = {
            "slots": self._cross_entropy(COSINE_SCALE * output.slot_cosines, vehicle),
            "joint": self._cross_entropy(COSINE_SCALE * output.cosines, vehicle),
            "triplets": self._metric_loss(output.feature, vehicle),
        }
        total = whole.pop("loss") + self.slot_weight * sum(terms.values())
        return {"loss": total, **whole, **terms}

    def _cross_entropy(self, logits: Tensor, vehicle: Tensor) -> Tensor:
        return functional.cross_entropy(logits, vehicle, label_smoothing=self.label_smoothing)

    def _metric_loss(self, vector: Tensor, vehicle: Tensor) -> Tensor:
        if self.circle is not None:
            return circle_loss(vector, vehicle, *self.circle)
        return batch_hard_triplet(vector, vehicle, self.margin)


class Objective(nn.Module):
    """The network followed by its loss in one module, as DistributedDataParallel needs to find unused parameters."""

    def __init__(self, network: nn.Module, criterion: Criterion) -> None:
        """Keep both; `network` has the interface of `PGAN`."""
        super().__init__()
        self.network, self.criterion = network, criterion

    def forward(self, *inputs_and_vehicle: Tensor) -> dict[str, Tensor]:
        """Inputs of the network for this process's images, vehicle (B,) of the whole batch -> terms of `Criterion`."""
        *inputs, vehicle = inputs_and_vehicle
        output = self.network(*inputs)
        # the outputs for the images of all processes, because triplets are mined in the whole batch
        if isinstance(output, PGANOutput):
            return self.criterion(_gathered(output), vehicle)
        joint = {name: gathered(getattr(output, name).float()) for name in ("slot_cosines", "cosines", "feature")}
        return self.criterion.with_parts(output._replace(whole=_gathered(output.whole), **joint), vehicle)


def _gathered(output: PGANOutput) -> PGANOutput:
    names = [name for name in ("logits", "fusion", "global_", "part") if getattr(output, name) is not None]
    return output._replace(**{name: gathered(getattr(output, name).float()) for name in names})
