"""The training loss, eq. 5: L = lambda Lc + Lf + Lg + Lp.

Lc is the cross-entropy of the classifier; Lf, Lg and Lp are batch-hard triplet losses on the three refined vectors.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from reid.distributed import gathered
from reid.model.pgan import PGANOutput


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


@dataclass(frozen=True)
class Criterion:
    """The loss of eq. 5. `triplets` names the vectors with a triplet term: fusion, global, part."""

    identity_weight: float = 2.0
    margin: float = 0.3
    triplets: tuple[str, ...] = ("fusion", "global", "part")

    def __call__(self, output: PGANOutput, vehicle: Tensor) -> dict[str, Tensor]:
        """Return the terms by name and their weighted sum as "loss"; vehicle (B,) holds class numbers."""
        terms = {"identity": functional.cross_entropy(output.logits.float(), vehicle)}
        vectors = {"fusion": output.fusion, "global": output.global_, "part": output.part}
        for name in self.triplets:
            vector = vectors[name]
            if vector is not None:  # the baseline has the fusion vector only
                terms[name] = batch_hard_triplet(vector, vehicle, self.margin)
        total = self.identity_weight * terms["identity"] + sum(terms[name] for name in terms if name != "identity")
        return {"loss": total, **terms}


class Objective(nn.Module):
    """The network followed by its loss in one module, as DistributedDataParallel needs to find unused parameters."""

    def __init__(self, network: nn.Module, criterion: Criterion) -> None:
        """Keep both; `network` has the interface of `PGAN`."""
        super().__init__()
        self.network, self.criterion = network, criterion

    def forward(self, images: Tensor, boxes: Tensor, present: Tensor, vehicle: Tensor) -> dict[str, Tensor]:
        """Inputs of `PGAN` for this process's images, vehicle (B,) of the whole batch -> terms as in `Criterion`."""
        output = self.network(images, boxes, present)
        whole = {  # of the images of all processes, because triplets are mined in the whole batch
            name: gathered(values.float())
            for name in ("logits", "fusion", "global_", "part")
            if (values := getattr(output, name)) is not None
        }
        return self.criterion(output._replace(**whole), vehicle)
