"""The files and fields in the body of a request: one image, or a multipart form."""

from typing import NamedTuple

from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

FORM = "multipart/form-data"
MOST_FILES = 1000  # in a form
UNNAMED = "image"


class UploadedFile(NamedTuple):
    """A file in a form: the name of its field, its own name, and its bytes."""

    field: str
    name: str
    data: bytes


class Upload(NamedTuple):
    """The files and the text fields of a request."""

    files: list[UploadedFile]
    fields: dict[str, str]

    def image(self, field: str) -> UploadedFile:
        """Return the file of a field. Raises HTTPException 415 if there is none, 422 if there are several."""
        found = self.images(field)
        if len(found) > 1:
            raise HTTPException(422, f"{len(found)} files {field}; send one")
        return found[0]

    def images(self, field: str) -> list[UploadedFile]:
        """Return the files of a field. Raises HTTPException 415 if there is none."""
        found = [file for file in self.files if file.field == field]
        if not found:
            raise HTTPException(415, f"no image: send the file in the body, or in the field {field} of a form")
        return found


async def read_upload(request: Request, body: bytes) -> Upload:
    """Return the content of a request's body; one that is no form is the file `image`.

    Raises HTTPException 400 if a form is damaged.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind.strip().lower() != FORM.encode():
        return Upload([UploadedFile("image", UNNAMED, body)] if body else [], {})
    if options.get(b"charset", b"utf-8").lower() not in (b"utf-8", b"utf8"):  # some take hours for a long text
        raise HTTPException(400, "the charset of a form must be utf-8")

    async def replay() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    files, fields = [], {}
    async with Request(request.scope, replay).form(max_files=MOST_FILES, max_part_size=len(body)) as form:
        for field, value in form.multi_items():
            if isinstance(value, UploadFile):
                files.append(UploadedFile(field, value.filename or UNNAMED, await value.read()))
            else:
                fields[field] = value
    return Upload(files, fields)
