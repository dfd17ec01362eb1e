"""The Python API: `VehicleReID`, a trained run, and `Gallery`, a searchable collection of images.

The commands use the same classes; see docs/python-api.md.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vehicle_reid.gallery.gallery import Gallery
    from vehicle_reid.model import VehicleReID

__all__ = ["Gallery", "VehicleReID"]


def __getattr__(name: str) -> Any:
    """Import torch and the rest on first use only, so that `cli.py --help` stays fast."""
    if name == "VehicleReID":
        from vehicle_reid.model import VehicleReID

        return VehicleReID
    if name == "Gallery":
        from vehicle_reid.gallery.gallery import Gallery

        return Gallery
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
