"""XML files: decoded by their declaration, and refused before parsing if they declare entities."""

import os
from pathlib import Path

import pytest

from data_cache.base import safe_xml
from data_cache.base.errors import RecordFault
from data_cache.base.safe_xml import parse_xml

TEXT = '<a name="大众">é</a>'


def read(folder: Path, data: bytes, errors: str = "strict") -> tuple[str | None, str | None]:
    """Return the attribute and the text of the root."""
    (folder / "a.xml").write_bytes(data)
    root = parse_xml(folder / "a.xml", most_bytes=1 << 20, errors=errors)
    return root.get("name"), root.text


@pytest.mark.parametrize("encoding", ["utf-8", "gb2312", "GBK", "gb18030", "utf-16"])
def test_the_declared_encoding_is_used(tmp_path: Path, encoding: str) -> None:
    text = TEXT.replace("é", "") if encoding == "gb2312" else TEXT
    declared = "" if encoding == "utf-16" else f'<?xml version="1.0" encoding="{encoding}"?>\n'
    assert read(tmp_path, declared.encode() + text.encode(encoding)) == ("大众", "é" if "é" in text else None)


def test_utf_8_is_the_default(tmp_path: Path) -> None:
    for mark in (b"", b"\xef\xbb\xbf"):
        assert read(tmp_path, mark + TEXT.encode()) == ("大众", "é")


def test_undecodable_bytes_are_refused_or_replaced(tmp_path: Path) -> None:
    data = b"<?xml version='1.0' encoding='gb2312'?><a name='b'>\xff\xffc</a>"
    with pytest.raises(RecordFault, match="cannot be decoded"):
        read(tmp_path, data)
    name, text = read(tmp_path, data, errors="replace")
    assert name == "b" and text is not None and text.endswith("c")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb2312", "utf-7"])
@pytest.mark.parametrize("declared", ['<!DOCTYPE a [<!ENTITY b "c">]>', '<!DOCTYPE a SYSTEM "a.dtd">', "<!DOCTYPE a>"])
def test_a_document_type_is_refused_in_every_encoding(tmp_path: Path, declared: str, encoding: str) -> None:
    head = "" if encoding == "utf-16" else f"<?xml version='1.0' encoding='{encoding}'?>"
    with pytest.raises(RecordFault, match="declares a document type or entities"):
        read(tmp_path, head.encode() + f"{declared}<a>&b;</a>".encode(encoding))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not XML"),
        (b"\0" * 100, "not XML"),
        (b"<a>", "not XML"),
        (b"<a>&b;</a>", "not XML .undefined entity"),
        (b"<?xml version='1.0' encoding='zlib'?><a/>", "cannot be decoded"),
        (b"<?xml version='1.0' encoding='punycode'?><a/>-" + b"a" * 500_000, "punycode is not a file encoding"),
        (b"<a>" + b" " * (1 << 20), "larger than 1 MB"),
    ],
)
def test_invalid_xml_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(RecordFault, match=reason) as caught:
        read(tmp_path, data)
    assert str(caught.value).isprintable()


def test_too_many_elements_are_refused_before_parsing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_xml, "MOST_TAGS", 4)
    assert read(tmp_path, b"<a><b></b><b></b><b></b></a>") == (None, None)
    with pytest.raises(RecordFault, match="more than 4 elements"):
        read(tmp_path, b"<a><b></b><b></b><b></b><b/></a>")


def test_other_than_regular_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.xml")
    for name in ("pipe.xml", "absent.xml", "."):
        with pytest.raises(RecordFault, match="not a regular file"):
            parse_xml(tmp_path / name, most_bytes=1 << 20)
