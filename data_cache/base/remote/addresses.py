"""Addresses of folders and files in stores on other machines, such as s3://bucket/folder, which fsspec reads.

torch brings fsspec; the package that knows a store, such as s3fs, is the user's choice and takes credentials from its
own environment variables.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from data_cache.base.errors import UserError, printable

SCHEME = "://"  # of an address; a path has none
FILE_SCHEME = "file://"
PACKAGES = {  # what reads a scheme, beside fsspec; "" for fsspec itself
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs", "abfss"), "adlfs"),
    **dict.fromkeys(("http", "https"), "aiohttp"),
    "memory": "",
}
WEB = ("http", "https")
AZURE = ("az", "abfs", "abfss")
OWN_PROCESS = "memory"  # other processes have another one
HOST = re.compile(r"[\w.-]+(:\d+)?|\[[\da-fA-F:.]+\](:\d+)?", re.ASCII)
AZURE_HOST = re.compile(r"([\w-]+@)?[\w.-]+", re.ASCII)  # a container and its account


@dataclass(frozen=True)
class Address:
    """A folder or file in a store; `text` is the whole address, without a slash at the end.

    See `parse_location`, which verifies it.
    """

    text: str

    def __truediv__(self, name: str) -> "Address":
        """Return the address of a file below this folder; for the web its name is quoted."""
        return Address(f"{self.text}/{quote(name) if self.scheme in WEB else name}")

    def __str__(self) -> str:
        return self.text

    @property
    def scheme(self) -> str:
        """The part before `://`, which names the kind of store."""
        return self.text.partition(SCHEME)[0]

    @property
    def name(self) -> str:
        """The last part."""
        return self.text.rpartition("/")[2]


Location = Path | Address


def parse_location(text: str) -> Location:
    """Return a path, also of `file://PATH`, or an address.

    Raises UserError, which never shows a password, if the kind of store is unknown or its package is missing, and for
    an address with credentials, a query or a chain of file systems (`::`).

    >>> parse_location("memory://data/"), parse_location("data")
    (Address(text='memory://data'), PosixPath('data'))
    """
    if SCHEME not in text:
        return Path(text)
    if text.startswith(FILE_SCHEME):
        return Path(text.removeprefix(FILE_SCHEME))
    scheme, _, rest = text.partition(SCHEME)
    if scheme not in PACKAGES:
        known = ", ".join(f"{one}{SCHEME}" for one in PACKAGES if one != OWN_PROCESS)
        raise UserError(f"{printable(scheme)[:40]}{SCHEME}: not a store that is read here ({known}); copy the files")
    if "?" in rest or "#" in rest or "::" in rest:
        raise UserError(f"{scheme}{SCHEME}...: an address here has no ?, # or ::; give the address of the folder")
    host = rest.partition("/")[0]
    if not (AZURE_HOST if scheme in AZURE else HOST).fullmatch(host):
        raise UserError(
            f"{scheme}{SCHEME}...: no bucket or host follows, or one with a user name or password, which do not belong "
            "into an address; set the environment variables of the store's own package, such as AWS_ACCESS_KEY_ID"
        )
    address = Address(printable(text).rstrip("/"))
    file_system(address)
    return address


def require_path(location: Location) -> Path:
    """Return a location as a path. Raises UserError for an address, which only some work can read."""
    if isinstance(location, Address):
        raise UserError(f"{location}: this needs a folder on this machine; copy the images, and give their folder")
    return location


def require_other_processes(location: Location, remedy: str) -> None:
    """Raise UserError if only this process can read the location; the message ends with `remedy`."""
    if isinstance(location, Address) and location.scheme == OWN_PROCESS:
        raise UserError(f"{location}: is the memory of one process, which other processes cannot read; {remedy}")


def require_uploads(address: Address) -> None:
    """Raise UserError if files cannot be written to the store, or could be seen there before they are whole."""
    if address.scheme in WEB:
        raise UserError(f"{address}: web servers are only read; write to a path, and copy the file")


def file_system(address: Address) -> Any:
    """Return fsspec's file system for a store. Raises UserError if its package is missing.

    fsspec keeps one for each process, because connections do not survive a fork: ask for it before every use.
    """
    import fsspec

    try:
        return fsspec.filesystem(address.scheme)
    except ImportError as error:
        package = PACKAGES[address.scheme]
        raise UserError(f"{address}: needs the package {package}; run `pip install {package}`") from error
