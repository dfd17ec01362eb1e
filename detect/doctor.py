"""Health of what the detector needs, for `cli.py doctor`; loads nothing heavy unless it must be tried."""

from data_cache.doctor import Check, installed

PINS = {"onedl-mmengine": "0.10.12", "onedl-mmcv": "2.3.6", "onedl-mmdetection": "3.5.1"}
CLASHES = (
    ("mmengine", "onedl-mmengine"),
    ("mmcv", "onedl-mmcv"),
    ("mmcv-lite", "onedl-mmcv"),
    ("mmdet", "onedl-mmdetection"),
    ("opencv-python", "opencv-python-headless"),
)
REPAIR = "pip uninstall both, then `make setup`"


def detector_checks() -> list[Check]:
    """Return the checks of the detector's packages, operators and OpenCV, in the order in which they are shown."""
    return [*_pinned(), *_clashes(), _opencv(), _operators()]


def _pinned() -> list[Check]:
    checks = []
    for package, wanted in PINS.items():
        found = installed(package)
        detail = found or "not installed; run `make setup`"
        if found and found != wanted:
            detail += f" (made for {wanted})"
        checks.append(Check(package, detail, found is not None))
    return checks


def _clashes() -> list[Check]:
    """Two distributions with the same import name overwrite each other's files."""
    return [
        Check(f"{first} and {second}", f"both are installed and overwrite each other; {REPAIR}", False)
        for first, second in CLASHES
        if installed(first) and installed(second)
    ]


def _opencv() -> Check:
    try:
        import cv2
    except ImportError as error:  # the flavour with windows needs libGL, which servers lack
        return Check("OpenCV", f"cannot be imported ({error}); `pip install opencv-python-headless`", False)
    return Check("OpenCV", str(cv2.__version__))


def _operators() -> Check:
    from detect.operators import operators_in_use

    try:
        return Check("operators of MMCV", operators_in_use())
    except ImportError as error:
        return Check("operators of MMCV", f"cannot be looked up ({error})", False)
