"""What the commands import: a process forked from one that has these modules starts at once.

Import nothing here that imports `load_detector` by name, because tests of stage one replace it after the fork.
"""

import cv2  # noqa: F401
import h5py  # noqa: F401
import matplotlib.backends.backend_agg
import matplotlib.figure  # noqa: F401
import pandas  # noqa: F401
import pycocotools.cocoeval  # noqa: F401
import pytest  # noqa: F401
import rich.table  # noqa: F401

import cli  # noqa: F401
import detect.evaluation.evaluate
import detect.extraction.run
import detect.model.reading
import detect.training.train
import reid.evaluation.evaluate
import reid.training.train  # noqa: F401
from detect.model.ssd import build_network
from detect.recipes import PRESETS

build_network(PRESETS["demo"])  # imports MMDetection

import detect.training.hooks  # noqa: E402
import detect.training.runner  # noqa: E402, F401
