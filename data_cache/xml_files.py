"""XML of any origin, read without trust: decoded here, and refused before it is parsed where it declares entities.

Python's parser follows entity declarations, and does not know gb2312, which some data sets declare; GB 18030 holds
gb2312 and gbk.
"""

import codecs
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from data_cache.coco_files import RecordFault

BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
ENCODING = re.compile(rb"""\s*<\?xml[^>]{0,200}?\sencoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]*)["']""")
CHINESE = ("gb2312", "gbk")


def parse_xml(path: Path, *, most_bytes: int, errors: str = "strict") -> ElementTree.Element:
    """Return the root of an XML file; `errors` is what `bytes.decode` does with bytes that its encoding does not have.

    Raises RecordFault where the file cannot be read, is over `most_bytes`, is no XML, or declares a document type
    (DOCTYPE) or entities.
    """
    try:
        if not path.is_file():  # to read a pipe would wait for ever
            raise RecordFault("not a regular file")
        if path.stat().st_size > most_bytes:
            raise RecordFault(f"over {most_bytes >> 20} MB, which is more than it may have")
        text = _decoded(path.read_bytes(), errors)
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise RecordFault("declares a document type or entities, which is refused")
        return ElementTree.fromstring(text)
    except OSError as error:
        raise RecordFault(f"cannot be read ({error.strerror})") from error
    except (LookupError, UnicodeError) as error:
        raise RecordFault(f"cannot be decoded ({str(error)[:200]!a})") from error
    except ElementTree.ParseError as error:
        raise RecordFault(f"not XML ({error})") from error


def _decoded(data: bytes, errors: str) -> str:
    """Return the text by its byte order mark, its declaration, or as UTF-8; the parser passes over the declaration."""
    for mark, encoding in BOMS.items():
        if data.startswith(mark):
            return data.decode(encoding, errors).strip()
    found = ENCODING.match(data)
    encoding = found[1].decode().lower() if found else "utf-8"
    return data.decode("gb18030" if encoding in CHINESE else encoding, errors).strip()
