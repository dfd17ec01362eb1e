"""The files and fields in the body of a request: one image, or a multipart form."""

from typing import NamedTuple

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from vehicle_reid.web.app import read_body

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


async def read_upload(request: Request, limit: int) -> Upload:
    """Return the content of a request; a body that is no form is the file `image`.

    Raises HTTPException: 413 if the body is larger than `limit` bytes, 400 if a form is damaged.
    """
    body = await read_body(request, limit)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        return Upload([UploadedFile("image", UNNAMED, body)] if body else [], {})

    async def replay() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    files, fields = [], {}
    async with Request(request.scope, replay).form(max_files=MOST_FILES, max_part_size=limit) as form:
        for field, value in form.multi_items():
            if isinstance(value, UploadFile):
                files.append(UploadedFile(field, value.filename or UNNAMED, await value.read()))
            else:
                fields[field] = value
    return Upload(files, fields)
