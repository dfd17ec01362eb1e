"""The part detector that ships with the package, in detect/weights; MODEL_CARD.md there says what it was trained on."""

from pathlib import Path

from data_cache.base.errors import UserError
from data_cache.base.files import sha256_of_file

NAME = "shipped"  # in options
PATH = Path(__file__).parents[1] / "weights" / "detector.safetensors"
SHA256 = "d29bb30eba7fad33e6bc0c81ac33e5ae6371f681dc9754577184ec472a0b6132"


def weights() -> Path:
    """Return the shipped weights file. Raises UserError with the remedy if the installation lacks it or damaged it."""
    remedy = "install the package again, or choose another detector with --detector"
    try:
        found = sha256_of_file(PATH)
    except UserError as error:
        raise UserError(f"{error}; it ships with the package: {remedy}") from error
    if found != SHA256:
        raise UserError(f"{PATH}: damaged, not the file that ships with the package; {remedy}")
    return PATH
