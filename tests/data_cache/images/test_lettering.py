import pytest

from data_cache.images.drawing import fitting, visible, width_of, wrapped

LONG = "images/train/0123/a-very-long-name-of-a-photograph.jpg"


def test_what_fits_stays_whole() -> None:
    assert fitting("a.jpg", 100, 12) == "a.jpg"


@pytest.mark.parametrize("width", [40, 90, 200])
def test_of_what_is_too_wide_the_end_is_shown(width: int) -> None:
    shown = fitting(LONG, width, 12)
    assert shown.startswith("…") and LONG.endswith(shown[1:]) and len(shown) > 3
    assert width_of(shown, 12) <= width < width_of(f"…{LONG[-len(shown) :]}", 12)


@pytest.mark.parametrize("text", ["a few short words that are wrapped", LONG, f"damaged: {LONG} (truncated)", ""])
def test_wrapped_lines_fit_and_lose_nothing(text: str) -> None:
    lines = wrapped(text, 80, 12)
    assert all(width_of(line, 12) <= 80 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_lines_break_between_words() -> None:
    assert wrapped("one two", 1000, 12) == ["one two"]
    assert wrapped("wheel plate", round(width_of("wheel plat", 12)), 12) == ["wheel", "plate"]


@pytest.mark.parametrize("text", ["plain", "ü 汽车 🚗", "two\nlines\tand a tab", "<b>&"])
def test_text_that_can_be_seen_stays(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    "character", ["\0", "\x1b", "\x7f", "\x9b", "\u200b", "\u202e", "\u2028", "\u2067", "\ufeff", "\ud800"]
)
def test_what_would_not_be_seen_is_told(character: str) -> None:
    shown = visible(f"a{character}b")
    assert shown == f"a{ascii(character)[1:-1]}b" and shown.isascii()
    assert visible(shown) == shown
