"""The Python API of the whole system: a trained run as an object, and galleries to search in.

It is what the commands use. Of the packages it alone sees both stages; see docs/python-api.md.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vehicle_reid.gallery.gallery import Gallery
    from vehicle_reid.model import VehicleReID

__all__ = ["Gallery", "VehicleReID"]


def __getattr__(name: str) -> Any:
    """Import torch and what needs it when a name is first asked for, so that `cli.py --help` is fast."""
    if name == "VehicleReID":
        from vehicle_reid.model import VehicleReID

        return VehicleReID
    if name == "Gallery":
        from vehicle_reid.gallery.gallery import Gallery

        return Gallery
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
