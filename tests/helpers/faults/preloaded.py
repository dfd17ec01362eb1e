"""What the commands of the chain import: a process that is forked from one that has it starts in a moment.

Nothing may stand here that imports `load_detector` by name, as tests of stage one put a stand-in in its place.
"""

from detect.model.ssd import build_network
from detect.recipes import PRESETS

for name in (
    *("cv2", "h5py", "matplotlib.backends.backend_agg", "matplotlib.figure", "pandas", "PIL.Image", "pytest"),
    *("pycocotools.cocoeval", "rich.table", "torchvision", "cli", "data_cache.synthetic"),
    *(
        "data_cache.parts.statistics",
        "detect.evaluation.evaluate",
        "detect.training.optim",
        "detect.model.reading",
        "detect.extraction.run",
    ),
    *("detect.training.samples", "detect.training.train", "reid.evaluation.evaluate", "reid.training.train"),
):
    __import__(name)
build_network(PRESETS["demo"])  # MMDetection, with what it imports when a network is made
for name in ("detect.training.runner", "detect.training.hooks"):
    __import__(name)
