"""Which store keeps the gallery at an address: a Milvus server at http:// or https://, LanceDB anywhere else."""

from pathlib import Path

from data_cache.base.errors import UserError
from vehicle_reid.gallery.lance.store import LanceStore, local_folder
from vehicle_reid.gallery.store import Store

SERVERS = ("http://", "https://")  # how the addresses of servers begin


def store_at(address: str) -> type[Store]:
    """Return the kind of store for an address. Raises UserError if a package that it needs is not installed."""
    if not on_server(address):
        return LanceStore
    try:
        from vehicle_reid.gallery.milvus.store import MilvusStore
    except ModuleNotFoundError as error:
        raise UserError(
            f"a gallery on a Milvus server needs {error.name}, which is not installed; run `pip install '.[milvus]'`"
        ) from error
    return MilvusStore


def on_server(address: str) -> bool:
    """Return whether an address is that of a server."""
    return address.lower().startswith(SERVERS)


def gallery_exists(address: str) -> bool:
    """Return whether there is a gallery at an address. Raises UserError for something else, such as a file."""
    return store_at(address).exists(address)


def gallery_folder(address: str) -> Path | None:
    """Return the folder of a gallery that is on this machine, None for one in a bucket or on a server."""
    return None if on_server(address) else local_folder(address)
