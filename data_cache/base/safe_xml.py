"""Safe reading of XML files: decoded here, refused before parsing if they declare entities.

Python's parser expands entities and does not know gb2312, which VeRi-776 declares; GB 18030 includes gb2312 and gbk.
"""

import codecs
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from data_cache.base.errors import RecordFault, printable
from data_cache.base.files import read_regular

BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
ENCODING = re.compile(rb"""\s*<\?xml[^>]{0,200}?\sencoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]*)["']""")
CHINESE = ("gb2312", "gbk")
NOT_FILE_ENCODINGS = ("idna", "punycode")  # for host names; decoding 4 MB of punycode takes an hour
MOST_TAGS = 1_000_000  # an element takes a hundred times the memory of its text


def parse_xml(path: Path, *, most_bytes: int, errors: str = "strict") -> ElementTree.Element:
    """Return the root of an XML file; `errors` is passed to `bytes.decode`.

    Raises RecordFault if the file cannot be read, is larger than `most_bytes`, is not XML, declares a document type
    (DOCTYPE) or entities, or has too many elements.
    """
    try:
        if not path.is_file():
            raise RecordFault("not a regular file")
        data = read_regular(path, most_bytes + 1)
        if len(data) > most_bytes:
            raise RecordFault(f"larger than {most_bytes >> 20} MB")
        text = _decoded(data, errors)
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise RecordFault("declares a document type or entities")
        if text.count("<") > 2 * MOST_TAGS:
            raise RecordFault(f"more than {MOST_TAGS:,} elements")
        return ElementTree.fromstring(text)
    except OSError as error:
        raise RecordFault(f"cannot be read ({error.strerror})") from error
    except (LookupError, UnicodeError) as error:
        raise RecordFault(f"cannot be decoded ({printable(error)[:200]})") from error
    except ElementTree.ParseError as error:
        raise RecordFault(f"not XML ({error})") from error


def _decoded(data: bytes, errors: str) -> str:
    """Decode by byte order mark, else by the XML declaration, else as UTF-8; the parser ignores the declaration."""
    for mark, encoding in BOMS.items():
        if data.startswith(mark):
            return data.decode(encoding, errors).strip()
    found = ENCODING.match(data)
    encoding = found[1].decode().lower() if found else "utf-8"
    if codecs.lookup(encoding).name in NOT_FILE_ENCODINGS:
        raise LookupError(f"{encoding} is not a file encoding")
    return data.decode("gb18030" if encoding in CHINESE else encoding, errors).strip()
