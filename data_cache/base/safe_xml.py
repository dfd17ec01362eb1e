"""XML of any origin, read without trust: decoded here, and refused before it is parsed where it declares entities.

Python's parser follows entity declarations, and does not know gb2312, which some data sets declare; GB 18030 holds
gb2312 and gbk.
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
NO_TEXT = ("idna", "punycode")  # of names in the internet; Python takes an hour to decode 4 MB of the second
MOST_TAGS = 1_000_000  # elements take a hundred times the memory of their text


def parse_xml(path: Path, *, most_bytes: int, errors: str = "strict") -> ElementTree.Element:
    """Return the root of an XML file; `errors` is what `bytes.decode` does with bytes that its encoding does not have.

    Raises RecordFault where the file cannot be read, is over `most_bytes`, is no XML, or declares a document type
    (DOCTYPE) or entities, or has too many elements.
    """
    try:
        if not path.is_file():  # a folder or nothing, too
            raise RecordFault("not a regular file")
        data = read_regular(path, most_bytes + 1)
        if len(data) > most_bytes:
            raise RecordFault(f"over {most_bytes >> 20} MB, which is more than it may have")
        text = _decoded(data, errors)
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise RecordFault("declares a document type or entities, which is refused")
        if text.count("<") > 2 * MOST_TAGS:
            raise RecordFault(f"over {MOST_TAGS:,} elements, which is more than it may have")
        return ElementTree.fromstring(text)
    except OSError as error:
        raise RecordFault(f"cannot be read ({error.strerror})") from error
    except (LookupError, UnicodeError) as error:
        raise RecordFault(f"cannot be decoded ({printable(error)[:200]})") from error
    except ElementTree.ParseError as error:
        raise RecordFault(f"not XML ({error})") from error


def _decoded(data: bytes, errors: str) -> str:
    """Return the text by its byte order mark, its declaration, or as UTF-8; the parser passes over the declaration."""
    for mark, encoding in BOMS.items():
        if data.startswith(mark):
            return data.decode(encoding, errors).strip()
    found = ENCODING.match(data)
    encoding = found[1].decode().lower() if found else "utf-8"
    if codecs.lookup(encoding).name in NO_TEXT:
        raise LookupError(f"{encoding} is no encoding of a file")
    return data.decode("gb18030" if encoding in CHINESE else encoding, errors).strip()
