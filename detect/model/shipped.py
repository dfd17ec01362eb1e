"""The part detector that ships with the package, in detect/weights; MODEL_CARD.md there says what it was trained on."""

from pathlib import Path

from data_cache.base.files import shipped_file

NAME = "shipped"  # in options
PATH = Path(__file__).parents[1] / "weights" / "detector.safetensors"
SHA256 = "3a2f820923e5b5f87db36082434b37c9471432c06b754568d716b72d05938af6"


def weights() -> Path:
    """Return the shipped weights file. Raises UserError with the remedy if the installation lacks it or damaged it."""
    return shipped_file(PATH, SHA256, "choose another detector with --detector")
