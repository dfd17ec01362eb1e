"""Tokens: who is let in, what the server keeps of them, and how often each may be used."""

from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from helpers.places.api import ToyRun
from helpers.places.api_client import call
from helpers.places.serve import served
from vehicle_reid import Gallery
from vehicle_reid.web.api.access import Access, RateLimit, Tokens
from vehicle_reid.web.site import Settings

GATE, OFFICE = "gate-0123456789abcdef", "office-0123456789abcdef"


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    """Two tokens, read from a file."""
    path = tmp_path / "tokens.txt"
    path.write_text(f"# services\n\ngate {GATE}\noffice  {OFFICE}\n", encoding="utf-8")
    return Tokens.read(path)


def test_a_token_is_needed_and_there_is_no_page(toy_run: ToyRun, gallery: Gallery, tokens: Tokens) -> None:
    data = toy_run.photos()[0].read_bytes()
    with served(gallery, toy_run.root, Settings(tokens=tokens)) as page:
        requests = [("/v1/search?k=1", "POST", data), ("/v1/vehicles", "GET", None), ("/v1/nothing", "GET", None)]
        for path, method, body in requests:
            for header in ({}, {"Authorization": ""}, {"Authorization": "Bearer "}, {"Authorization": f"Basic {GATE}"}):
                answer = call(page, path, method, body, **header)
                answer.assert_error(401, "Authorization: Bearer TOKEN")
                assert answer.headers["www-authenticate"] == "Bearer"
            for wrong in ("x", GATE[:-1], f"{GATE}x", GATE.upper(), "gate", "\u00e9"):
                call(page, path, method, body, Authorization=f"Bearer {wrong}").assert_error(403, "not known")
        call(page, "/v1/vehicles/a", "DELETE").assert_error(401)
        for token in (GATE, OFFICE):
            for scheme in ("Bearer", "bearer"):
                right = {"Authorization": f"{scheme} {token}", "Host": "vehicles.example"}
                assert call(page, "/v1/search?k=1", "POST", data, **right).status == 200
        assert call(page, "/health").status == call(page, "/openapi.json").status == 200
        for path in ("/", "/photos/g0", "/photos/g0/photo.jpg", "/page/main.js"):
            for header in ({}, {"Authorization": f"Bearer {GATE}"}):
                page.request(path, **header).assert_error(404, "no search page")
        page.upload(data).assert_error(404)


def test_each_token_has_its_own_rate(toy_run: ToyRun, gallery: Gallery, tokens: Tokens) -> None:
    now = [0.0]
    limit = RateLimit(2, lambda: now[0])
    assert [limit.seconds_to_wait("gate") for _ in range(3)] == [0, 0, 30]
    assert limit.seconds_to_wait("office") == 0
    now[0] = 29.5
    assert limit.seconds_to_wait("gate") == 1
    now[0] = 30
    assert [limit.seconds_to_wait("gate") for _ in range(2)] == [0, 30]
    now[0] = 1e6
    assert [limit.seconds_to_wait("gate") for _ in range(3)] == [0, 0, 30]
    with served(gallery, toy_run.root, Settings(tokens=tokens, per_minute=1)) as page:
        gate, office = ({"Authorization": f"Bearer {token}"} for token in (GATE, OFFICE))
        assert call(page, "/v1/vehicles", **gate).status == 200
        answer = call(page, "/v1/vehicles", **gate)
        answer.assert_error(429, "too many requests with this token")
        assert answer.headers["retry-after"] in ("59", "60")
        assert call(page, "/v1/vehicles", **office).status == 200
        call(page, "/v1/vehicles", Authorization="Bearer wrong").assert_error(403)


def test_tokens_are_kept_as_hashes(tokens: Tokens) -> None:
    assert set(tokens.digests) == {"gate", "office"} and {len(digest) for digest in tokens.digests.values()} == {32}
    assert GATE not in repr(tokens) and GATE not in repr(vars(Access(tokens, None)))
    assert (tokens.owner(GATE), tokens.owner(OFFICE), tokens.owner("")) == ("gate", "office", None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no token"),
        ("# nothing\n", "has no token"),
        (f"gate {GATE}\n{OFFICE}\n", "line 2: needs a name and a token"),
        (f"gate {GATE} x\n", "line 1: needs a name and a token"),
        ("gate short\n", "line 1: a token is at least 16"),
        (f"gate {GATE}ü\n", "line 1: a token is at least 16"),
        (f"gate {GATE}\ngate {OFFICE}\n", "line 2: the name gate or its token occurs twice"),
        (f"gate {GATE}\noffice {GATE}\n", "line 2: the name office or its token occurs twice"),
    ],
)
def test_a_bad_file_of_tokens_is_refused_without_showing_them(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "tokens.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        Tokens.read(path)
    assert words in str(error.value) and GATE not in str(error.value) and OFFICE not in str(error.value)
    with pytest.raises(UserError, match="cannot be read"):
        Tokens.read(tmp_path / "missing")
