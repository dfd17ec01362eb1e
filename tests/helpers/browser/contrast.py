"""Contrast of text, by WCAG 2."""

READABLE = 4.5  # minimum contrast of text


def luminance(colour: str) -> float:
    """Return the relative luminance of "rgb(r, g, b)"."""
    channels = [int(value) / 255 for value in colour.removeprefix("rgb(").removesuffix(")").split(", ")]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
