"""Only filters for which a gallery has values are offered."""

from dataclasses import replace

import pandas as pd

from helpers.browser.html_page import Page
from helpers.places.api import ToyRun
from helpers.places.serve import detailed, gallery_with, served
from vehicle_reid import Gallery
from vehicle_reid.web.api.answers import LISTED_BY, SEARCHED_BY
from vehicle_reid.web.choices import MOST_VALUES, Choices, Column, read_choices


def test_the_choices_are_the_values_that_occur(gallery: Gallery) -> None:
    assert read_choices(gallery.store) == Choices((0, 1), None, ())
    count = len(gallery)
    known = detailed(gallery, empty=[""] * count, k=["1"] * count)
    details = known.entries.details
    times = sorted(details["time"])
    assert "" in times
    assert read_choices(known.store) == Choices(
        (0, 1),
        (times[times.count("")], times[-1]),
        (Column("vehicle", ("7", "8", "9")), Column("lane", ("left", "right"))),
    )


def test_times_that_no_search_takes_are_not_offered(gallery: Gallery) -> None:
    count = len(gallery)
    times = ["2026-11-05T08", "2026-11-04", "05.11.2026", "Thursday", *[""] * (count - 4)]
    mixed, none = (
        gallery_with(gallery, replace(gallery.entries, details=pd.DataFrame({"time": values})))
        for values in (times, ["Thursday"] * count)
    )
    assert read_choices(mixed.store).times == ("2026-11-04", "2026-11-05T08")
    assert read_choices(none.store).times is None


def test_parameters_of_the_api_are_no_columns_of_a_filter(gallery: Gallery) -> None:
    names = [name for name in {*SEARCHED_BY, *LISTED_BY} if name.isalpha() and name not in ("name", "camera")]
    columns = pd.DataFrame({name: ["x"] * len(gallery) for name in [*names, "lane"]})
    taken = gallery_with(gallery, replace(gallery.entries, details=columns))
    assert [column.name for column in read_choices(taken.store).columns] == ["lane"]


def test_of_many_values_one_is_typed(gallery: Gallery) -> None:
    few, many = ([str(number) for number in range(number)] for number in (MOST_VALUES, MOST_VALUES + 1))
    repeated = gallery.entries.take(gallery.entries.rows(gallery.names))
    while len(repeated) < len(many):
        more = replace(gallery.entries, names=tuple(f"{len(repeated)} {name}" for name in gallery.names))
        repeated = repeated.followed_by(replace(more, ids=more.ids + repeated.ids[-1] + 1))
    columns = {
        name: [values[row % len(values)] for row in range(len(repeated))]
        for name, values in (("few", few), ("many", many))
    }
    large = gallery_with(gallery, replace(repeated, details=pd.DataFrame(columns)))
    assert read_choices(large.store).columns == (Column("few", tuple(few)), Column("many", ()))  # 2 before 10


def test_the_page_has_labelled_controls_for_the_choices_and_follows_the_gallery(
    toy_run: ToyRun, gallery: Gallery
) -> None:
    with served(gallery_with(gallery, gallery.entries), toy_run.root) as page:
        plain = Page(page.request("/").body.decode())
        assert "More filters" not in plain.text
        page.finder.gallery.store.add(
            replace(
                gallery.entries,
                names=tuple(f"new/{name}" for name in gallery.names),
                details=pd.DataFrame({"lane": ["left"] * len(gallery)}),
            )
        )
        page.search("g0")  # which reads the newest version
        html = Page(page.request("/").body.decode())
    assert "More filters" in html.text
    selects = [one.get("data-filter") for one in html.attributes("select") if "data-filter" in one]
    assert selects == ["camera", "lane", "camera", "lane"]  # of the matches and of the list
