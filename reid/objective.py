"""What a step of training computes: the network's loss on a batch, of which this process may hold only a share."""

from torch import Tensor, nn

from reid.losses import Criterion
from reid.pgan import PGANOutput
from reid.ranks import gathered


class Objective(nn.Module):
    """The network and eq. 5 in one, so that who averages gradients can see which parameters the loss depends on."""

    def __init__(self, network: nn.Module, criterion: Criterion) -> None:
        """Keep both; `network` has the interface of `PGAN`."""
        super().__init__()
        self.network, self.criterion = network, criterion

    def forward(self, images: Tensor, boxes: Tensor, present: Tensor, vehicle: Tensor) -> dict[str, Tensor]:
        """Inputs of `PGAN` for this process's images, vehicle (B,) of the whole batch -> the terms, see `Criterion`."""
        return self.criterion(of_whole_batch(self.network(images, boxes, present)), vehicle)


def of_whole_batch(output: PGANOutput) -> PGANOutput:
    """Return the output for the images of all processes, in float32: triplets are mined among all of them."""
    whole = {
        name: gathered(values.float())
        for name in ("logits", "fusion", "global_", "part")
        if (values := getattr(output, name)) is not None
    }
    return output._replace(**whole)
