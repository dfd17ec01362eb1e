"""The Python API: `VehicleReID`, a trained run, and `Gallery`, a searchable collection of images.

The commands use the same classes; see docs/python-api.md.
"""

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vehicle_reid.gallery.gallery import Gallery
    from vehicle_reid.model import VehicleReID

__all__ = ["Gallery", "VehicleReID", "__version__"]
__version__ = "0.6.0"  # pyproject.toml reads it from here


def _import_packages_beside() -> None:
    """Import the packages that lie beside this one before a file of the same name in the user's folder is found.

    Python looks into the folder of the user's script first, where a detect.py is common. Raises ImportError if the
    user's module has been imported already.
    """
    folder = Path(__file__).resolve().parent.parent
    for name in ("data_cache", "detect", "reid"):
        if name not in sys.modules:
            spec = PathFinder.find_spec(name, [str(folder)])
            if spec is None or spec.loader is None:
                raise ImportError(f"{folder / name} is missing: install pgan-vehicle-reid again")
            module = module_from_spec(spec)
            sys.modules[name] = module
            spec.loader.exec_module(module)
        found = sys.modules[name]
        places = [Path(place).resolve() for place in getattr(found, "__path__", ())]
        if folder / name not in places:
            other = getattr(found, "__file__", None) or ", ".join(map(str, places)) or "a module of yours"
            raise ImportError(
                f"vehicle_reid needs its own package {name}, but {other} was imported instead; rename that"
            )


_import_packages_beside()


def __getattr__(name: str) -> Any:
    """Import torch and the rest on first use only, so that `--help` stays fast."""
    if name == "VehicleReID":
        from vehicle_reid.model import VehicleReID

        return VehicleReID
    if name == "Gallery":
        from vehicle_reid.gallery.gallery import Gallery

        return Gallery
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
