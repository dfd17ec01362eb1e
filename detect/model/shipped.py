"""The part detector that ships with the package, in detect/weights; MODEL_CARD.md there says what it was trained on."""

from pathlib import Path

from data_cache.base.errors import UserError
from data_cache.base.files import sha256_of_file

NAME = "shipped"  # in options
PATH = Path(__file__).parents[1] / "weights" / "detector.safetensors"
SHA256 = "3a2f820923e5b5f87db36082434b37c9471432c06b754568d716b72d05938af6"


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
