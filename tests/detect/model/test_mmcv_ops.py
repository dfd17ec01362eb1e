import subprocess
import sys

import pytest
import torch

from detect.model.mmcv_ops import REPLACEMENT, OperatorMissing, nms, supply_operators


def naive_nms(boxes: torch.Tensor, scores: torch.Tensor, iou: float, offset: int) -> list[int]:
    """Return the indices kept by greedy NMS, as defined."""
    kept: list[int] = []
    for candidate in sorted(range(len(scores)), key=lambda index: -float(scores[index])):
        x0, y0, x1, y1 = boxes[candidate].tolist()
        area = (x1 - x0 + offset) * (y1 - y0 + offset)
        for other in kept:
            a0, b0, a1, b1 = boxes[other].tolist()
            width = max(0.0, min(x1, a1) - max(x0, a0) + offset)
            height = max(0.0, min(y1, b1) - max(y0, b0) + offset)
            union = area + (a1 - a0 + offset) * (b1 - b0 + offset) - width * height
            if width * height / union > iou:
                break
        else:
            kept.append(candidate)
    return kept


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("seed", range(5))
def test_nms_equals_the_greedy_loop(seed: int, offset: int) -> None:
    random = torch.Generator().manual_seed(seed)
    corner = torch.rand(60, 2, generator=random) * 50
    boxes = torch.cat([corner, corner + 5 + torch.rand(60, 2, generator=random) * 40], dim=1)
    scores = torch.rand(60, generator=random)
    assert nms(boxes, scores, 0.4, offset).tolist() == naive_nms(boxes, scores, 0.4, offset)


def test_mmcv_uses_the_replacement() -> None:
    if supply_operators() != REPLACEMENT:
        pytest.skip("compiled operators are installed")
    from mmcv.ops import nms as mmcv_nms

    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])
    kept, indices = mmcv_nms(boxes, torch.tensor([0.5, 0.9, 0.3]), 0.5)
    assert indices.tolist() == [1, 2] and kept.shape == (2, 5)


def test_other_operators_raise_when_called() -> None:
    if supply_operators() != REPLACEMENT:
        pytest.skip("compiled operators are installed")
    from mmcv.ops import roi_pool

    with pytest.raises(OperatorMissing, match="roi_pool_forward is not in the plain install of mmcv"):
        roi_pool(torch.rand(1, 1, 8, 8), torch.tensor([[0.0, 0, 0, 4, 4]]), 2)


def test_a_compiled_module_is_used_if_installed() -> None:
    code = (
        "import sys, types; sys.modules['mmcv._ext'] = types.ModuleType('mmcv._ext')\n"
        "from detect.model.mmcv_ops import supply_operators\nassert supply_operators() == 'compiled mmcv._ext'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
