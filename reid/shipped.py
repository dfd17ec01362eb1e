"""The network that ships with the package, in reid/weights; MODEL_CARD.md there says what it was trained on."""

from pathlib import Path

from data_cache.base.files import shipped_file

NAME = "shipped"  # in options, and of its runs
PATH = Path(__file__).parent / "weights" / "network.safetensors"
SHA256 = "ecb5d64c6a78423a9595a310af519e69959d18e011a7f0293b20afc25a3e181e"


def weights() -> Path:
    """Return the shipped weights file. Raises UserError with the remedy if the installation lacks it or damaged it."""
    return shipped_file(PATH, SHA256, "train a network of your own")
