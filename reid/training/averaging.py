"""The exponential moving average of a network's weights during training."""

from copy import deepcopy

import torch

from reid.model.checkpoint import TrainedNetwork


class WeightAverage:
    """The moving average a(t) = d a(t-1) + (1 - d) w(t) after step t, with d = min(decay, t / (t + 9)).

    The growing d keeps the random weights of the start out of a short training's average. It covers parameters and the
    statistics of batch norm; counters are copied.
    """

    def __init__(self, network: TrainedNetwork, decay: float) -> None:
        """Start at the weights of `network`; `decay` in [0, 1)."""
        self.network = deepcopy(network).eval().requires_grad_(False)
        self.decay, self.steps = decay, 0

    @torch.no_grad()
    def update(self, network: TrainedNetwork) -> None:
        """Include the weights of `network` after a step of its optimizer."""
        self.steps += 1
        share = 1 - min(self.decay, self.steps / (self.steps + 9))
        averages, values = self.network.state_dict(), network.state_dict()
        numbers = [name for name, value in values.items() if value.is_floating_point()]
        # one call for all tensors: on a GPU, hundreds of small kernels would take longer than their work
        torch._foreach_lerp_([averages[name] for name in numbers], [values[name] for name in numbers], share)
        for name in values.keys() - numbers:
            averages[name].copy_(values[name])
