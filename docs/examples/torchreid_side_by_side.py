"""Train and rank with torchreid (github.com/KaiyangZhou/deep-person-reid, MIT), beside us: docs/results/peers.md.

torchreid must be importable. The CSV is that of vehicle_re_id_dataset_csv.py. WEIGHTS are torchvision's ImageNet
weights of mobilenet_v2; they go into torchreid's own MobileNetV2, whose maps are then the same, apart from the stride
of the last stage.

    python docs/examples/torchreid_side_by_side.py train PHOTOS photographs.csv mobilenet_v2_imagenet.pth
    python docs/examples/torchreid_side_by_side.py rank torchreid 1000
    python docs/examples/torchreid_side_by_side.py rank ours 10000
"""

import contextlib
import csv
import io
import json
import re
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

SIDE, BATCH, EPOCHS, RATE, MARGIN = 128, 64, 24, 3.5e-4, 0.3
GALLERY, VEHICLES, CAMERAS, CHANNELS = 128_517, 10_000, 174, 512  # of the largest test of VERI-Wild


def train(photos: Path, table: Path, weights: Path) -> None:
    """Print torchreid's scores on the photographs after EPOCHS, and its images a second in training and extraction."""
    import torchreid

    torchreid.data.register_image_dataset("photographs", _dataset(photos, table))
    data = torchreid.data.ImageDataManager(
        root=str(photos),
        sources="photographs",
        height=SIDE,
        width=SIDE,
        transforms=["random_flip", "random_erase"],
        batch_size_train=BATCH,
        batch_size_test=BATCH,
        num_instances=2,
        train_sampler="RandomIdentitySampler",
        workers=2,
        use_gpu=False,
    )
    network = torchreid.models.build_model("mobilenetv2_x1_0", data.num_train_pids, loss="triplet", pretrained=False)
    load_imagenet(network, weights)
    optimizer = torchreid.optim.build_optimizer(network, optim="adam", lr=RATE)
    scheduler = torchreid.optim.build_lr_scheduler(optimizer, lr_scheduler="cosine", max_epoch=EPOCHS)
    engine = torchreid.engine.ImageTripletEngine(
        data, network, optimizer, margin=MARGIN, scheduler=scheduler, use_gpu=False
    )
    engine.max_epoch, seconds = EPOCHS, 0.0
    for engine.epoch in range(EPOCHS):
        started = time.monotonic()
        engine.train(print_freq=1000)
        seconds += time.monotonic() - started
    images = EPOCHS * len(engine.train_loader) * BATCH
    loaders = data.test_loader["photographs"]
    output, tested = io.StringIO(), sum(len(loader.dataset) for loader in loaders.values())
    started = time.monotonic()
    with contextlib.redirect_stdout(output):
        engine.test(dist_metric="cosine", normalize_feature=True)
    extraction = time.monotonic() - started
    scores = dict(re.findall(r"^(mAP|Rank-1|Rank-5)\s*: *([\d.]+)%", output.getvalue(), re.MULTILINE))
    rates = {"images trained": images, "trained a second": images / seconds, "extracted a second": tested / extraction}
    print(json.dumps({"torchreid": torchreid.__version__, **scores, **rates}))


def _dataset(photos: Path, table: Path) -> Any:
    """Return the photographs as a data set class of torchreid, for which training ids are 0, 1, and so on."""
    import torchreid

    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    number = {vehicle: index for index, vehicle in enumerate(sorted({row["vehicle_id"] for row in rows}))}
    trained = sorted({number[row["vehicle_id"]] for row in rows if row["split"] == "train"})
    label = {vehicle: index for index, vehicle in enumerate(trained)}

    def entries(split: str) -> list[tuple[str, int, int]]:
        chosen = [row for row in rows if row["split"] == split]
        vehicles = (number[row["vehicle_id"]] for row in chosen)
        return [
            (str(photos / row["name"]), label[vehicle] if split == "train" else vehicle, int(row["camera_id"]) - 1)
            for row, vehicle in zip(chosen, vehicles, strict=True)
        ]

    class Photographs(torchreid.data.ImageDataset):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self, **options: Any) -> None:
            options.pop("root", None)
            super().__init__(entries("train"), entries("query"), entries("gallery"), **options)

    return Photographs


def load_imagenet(network: torch.nn.Module, path: Path) -> None:
    """Load torchvision's weights into torchreid's MobileNetV2, layer by layer in their order.

    Its first block has a convolution more, 32 channels to 32: it becomes the identity. Raises ValueError for others.
    """
    theirs = network.state_dict()
    names = [name for name in theirs if not name.startswith("classifier") and not name.startswith("fc")]
    ours = [value for name, value in torch.load(path, weights_only=True).items() if name.startswith("features")]
    first = [name for name in names if name.startswith("conv2.0.conv1")]
    rest = [name for name in names if name not in first]
    if len(rest) != len(ours) or any(theirs[n].shape != v.shape for n, v in zip(rest, ours, strict=True)):
        raise ValueError(f"{path}: not the layers of torchreid's MobileNetV2")
    values = dict(zip(rest, ours, strict=True))
    for name in first:
        value = torch.zeros_like(theirs[name])
        if value.ndim == 4:
            value[:, :, 0, 0] = torch.eye(len(value))
        elif name.endswith(("bn.weight", "running_var")):
            value = torch.ones_like(value)
        values[name] = value
    network.load_state_dict(values, strict=False)


def rank(system: str, queries: int) -> None:
    """Print the seconds and the peak memory of scoring `queries` against the gallery of the largest test."""
    random = np.random.default_rng(0)
    vehicles = [np.arange(count) % VEHICLES for count in (queries, GALLERY)]
    cameras = [random.integers(0, CAMERAS, len(vehicle)) for vehicle in vehicles]
    centres = random.standard_normal((VEHICLES, CHANNELS), np.float32)
    features = [
        centres[vehicle] + 1.7 * random.standard_normal((len(vehicle), CHANNELS), np.float32) for vehicle in vehicles
    ]
    features = [values / np.linalg.norm(values, axis=1, keepdims=True) for values in features]
    started = time.monotonic()
    score = {"torchreid": _rank_with_torchreid, "ours": _rank_with_ours}[system]
    mean = score(features, vehicles, cameras)
    seconds, memory = time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"system": system, "queries": queries, "mAP": mean, "seconds": seconds, "GiB at most": memory}))


def _rank_with_torchreid(features: list[Any], vehicles: list[Any], cameras: list[Any]) -> float:
    from torchreid import metrics

    query, gallery = map(torch.from_numpy, features)
    distances = metrics.compute_distance_matrix(query, gallery, "cosine").numpy()
    _, mean = metrics.evaluate_rank(distances, *vehicles, *cameras)
    return float(mean)


def _rank_with_ours(features: list[Any], vehicles: list[Any], cameras: list[Any]) -> float:
    from reid.retrieval.ranking import LabelledTrial, Labels, cosine_scores, rank_queries

    query, gallery = (Labels(vehicle, camera) for vehicle, camera in zip(vehicles, cameras, strict=True))
    trial = LabelledTrial(query, gallery, same_camera_is_junk=True)
    return rank_queries(cosine_scores(*features), trial).means()["mAP"]


def main() -> None:
    """Run one of the commands above."""
    if sys.argv[1:2] == ["train"] and len(sys.argv) == 5:
        train(*map(Path, sys.argv[2:]))
    elif sys.argv[1:2] == ["rank"] and len(sys.argv) == 4 and sys.argv[2] in ("torchreid", "ours"):
        rank(sys.argv[2], int(sys.argv[3]))
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
