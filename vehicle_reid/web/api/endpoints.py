"""The addresses of the API, as FastAPI serves and describes them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, NamedTuple, TypeVar

import pandas as pd
from fastapi import APIRouter, FastAPI, Query, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from data_cache.base.errors import printable
from data_cache.images.loading import NotAnImage
from vehicle_reid import __version__
from vehicle_reid.gallery.filters import Filter
from vehicle_reid.web.api import model_queue
from vehicle_reid.web.api.answers import (
    LISTED_BY,
    MAX_NAME,
    SEARCHED_BY,
    Camera,
    Comparison,
    Enrolled,
    ErrorAnswer,
    Health,
    NewVehicle,
    SearchAnswer,
    Time,
    VehiclePage,
)
from vehicle_reid.web.api.metrics import CONTENT_TYPE, Metrics
from vehicle_reid.web.api.model_queue import ModelQueue, QueueFull
from vehicle_reid.web.api.service import NameTaken, Service, UnknownVehicle
from vehicle_reid.web.api.uploads import FORM, Upload, read_upload
from vehicle_reid.web.app import ERROR_HANDLERS, MAX_MATCHES, Handler, error_response, parse_box
from vehicle_reid.web.bodies import Bodies

MAX_PAGE = 1000  # names in one answer
MAX_START = 2**63 - 1  # a store counts in int64
COLUMNS = "any other parameter COLUMN=VALUE restricts the answer to images with that detail"
PROBLEMS = {
    400: "a damaged form",
    401: "no token",
    403: "a wrong token",
    404: "no such address, or no image of that name",
    408: "the body comes too slowly",
    409: "an image of that name is in the gallery",
    413: "the body is larger than the server takes",
    415: "no image",
    422: "an invalid parameter, image or box",
    429: "the queue is full, or too many requests with this token; Retry-After says when to try again",
    503: "the gallery cannot be read or written, or the server is stopping",
}
NEW_VEHICLES = TypeAdapter(list[NewVehicle])
Result = TypeVar("Result")
Text = Annotated[str | None, Query(max_length=1000)]

Cameras = Annotated[list[Camera] | None, Query(description="may be repeated")]
NotCameras = Annotated[list[Camera] | None, Query(alias="not-camera", description="may be repeated")]
Moment = Annotated[Time | None, Query(max_length=1000, description="ISO 8601")]
Name = Annotated[str | None, Query(description="of an image of the gallery, in place of a file")]
KEY = "of a photo that the page has uploaded, in place of a file"


class _Image(NamedTuple):
    """How a request gives an image: a file in the field, a name in the gallery, or the key of a photo of the page."""

    field: str
    name: str | None
    page_photo: str | None
    box: str | None = None


class ApiEndpoints:
    """The handlers of the API's addresses."""

    def __init__(
        self, service: Service, queue: ModelQueue, metrics: Metrics, readers: ThreadPoolExecutor, bodies: Bodies
    ) -> None:
        """Answer from `service`, by way of `queue`."""
        self.service, self.queue, self.metrics = service, queue, metrics
        self._readers, self._bodies = readers, bodies

    def router(self) -> APIRouter:
        """Return the addresses with their handlers."""
        problems: dict[int | str, dict[str, Any]] = {
            status: {"model": ErrorAnswer, "description": text} for status, text in PROBLEMS.items()
        }
        router = APIRouter(responses=problems)
        box = {"type": "string", "description": "left,top,right,bottom in pixels"}
        image = _body({"image": _FILE, "box": box}, required=False)
        image["requestBody"]["content"]["image/*"] = {"schema": _FILE}
        vehicles = _body({"image": {"type": "array", "items": _FILE}, "details": _DETAILS}, required=True)
        pair = _body({"first": _FILE, "second": _FILE}, required=False)
        tokens = [Security(HTTPBearer(auto_error=False, description="needed if the server has --tokens"))]
        add = partial(router.add_api_route, dependencies=tokens)
        add("/v1/search", self.search, methods=["POST"], openapi_extra=image)
        add("/v1/vehicles", self.enrol, methods=["POST"], openapi_extra=vehicles, status_code=201)
        add("/v1/vehicles", self.list_vehicles, methods=["GET"])
        add("/v1/vehicles/{name:path}", self.remove, methods=["DELETE"], status_code=204)
        add("/v1/compare", self.compare, methods=["POST"], openapi_extra=pair)
        add("/metrics", self.metrics_text, methods=["GET"], response_class=PlainTextResponse)
        router.add_api_route("/health", self.health, methods=["GET"])
        return router

    async def search(
        self,
        request: Request,
        name: Name = None,
        page_photo: Annotated[str | None, Query(alias="page-photo", description=KEY)] = None,
        k: Annotated[int, Query(ge=1, le=MAX_MATCHES)] = 10,
        camera: Cameras = None,
        not_camera: NotCameras = None,
        since: Moment = None,
        until: Moment = None,
        rerank: bool = False,
        box: Text = None,
    ) -> SearchAnswer:
        """Search with an image, or with what is inside `box`; any other parameter is a detail, COLUMN=VALUE.

        The image is sent, or is one of the gallery by its `name`, which does not find itself.
        """
        where = _filter(_details(request, SEARCHED_BY), camera, not_camera, since, until)
        if name is not None:
            where = replace(where, without=(name,))
        async with self._upload(request) as upload:
            query = _Image("image", name, page_photo, upload.fields.get("box", box))
            with self.queue.place():
                embedding = await self._embedding(upload, query)
                return await self.queue.run(partial(self.service.search, rerank=rerank), embedding, k, where)

    async def enrol(self, request: Request) -> Enrolled:
        """Add images: files `image`, and in `details` a JSON list with an object for each, in their order.

        The answer comes when they are in the gallery on the disk. Either all are added or none.
        """
        async with self._upload(request) as upload:
            files = upload.images("image")
            _require_known(request, upload)
            details = _new_vehicles(upload.fields.get("details", "[]"), len(files))
            names = [one.name or file.name for one, file in zip(details, files, strict=True)]
            _require_names(names)
            images = {name: file.data for name, file in zip(names, files, strict=True)}
            with self.queue.place():
                return await self.queue.run_steps(self.service.enrol(images, details))

    async def list_vehicles(
        self,
        request: Request,
        start: Annotated[int, Query(ge=0, le=MAX_START)] = 0,
        count: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
        words: Annotated[str, Query(max_length=1000, description="part of the name, in any case")] = "",
        camera: Cameras = None,
        not_camera: NotCameras = None,
        since: Moment = None,
        until: Moment = None,
    ) -> VehiclePage:
        """Return images of the gallery by name; any other parameter is a detail, COLUMN=VALUE."""
        where = _filter(_details(request, LISTED_BY), camera, not_camera, since, until)
        return await self._read(self.service.list_vehicles, replace(where, words=words), start, count)

    async def remove(self, name: str) -> None:
        """Remove an image from the gallery; the answer comes when it is gone."""
        with self.queue.place():
            await self.queue.run(self.service.remove, name)

    async def compare(
        self,
        request: Request,
        first: Name = None,
        second: Name = None,
        first_page_photo: Annotated[str | None, Query(alias="first-page-photo", description=KEY)] = None,
        second_page_photo: Annotated[str | None, Query(alias="second-page-photo", description=KEY)] = None,
    ) -> Comparison:
        """Compare two images: each is a file of the form, `first` and `second`, or one of the gallery by its name."""
        pair = _Image("first", first, first_page_photo), _Image("second", second, second_page_photo)
        async with self._upload(request) as upload:
            with self.queue.place():
                embeddings = await asyncio.gather(*(self._embedding(upload, image) for image in pair))
        return self.service.compare(*embeddings)

    async def metrics_text(self) -> Response:
        """Return counts and times for Prometheus."""
        return Response(await self._read(self.metrics.text), media_type=CONTENT_TYPE)

    async def health(self) -> Health:
        """Return that the server answers; needs no token."""
        return Health()

    async def _embedding(self, upload: Upload, image: _Image) -> pd.DataFrame:
        """Return the embedding of an image, one row of `embed`. Raises HTTPException unless it is given in one way."""
        sent = any(file.field == image.field for file in upload.files)
        if (image.name is not None) + (image.page_photo is not None) + sent > 1:
            raise HTTPException(422, f"{image.field}: give a file or a name, not both")
        if image.box is not None and not sent and (image.name is not None or image.page_photo is not None):
            raise HTTPException(422, "box: only of an image that is sent")
        if image.name is not None:
            return await self.queue.run(self.service.stored, image.name)
        if image.page_photo is not None:
            return self.service.uploaded(image.page_photo)
        file, box = upload.image(image.field), None if image.box is None else parse_box(image.box)
        return await self.queue.embed(model_queue.Query(file.name, file.data, box))

    @asynccontextmanager
    async def _upload(self, request: Request) -> AsyncIterator[Upload]:
        """Yield the content of a request; its body is in memory until the end of the context."""
        self.queue.require_room()  # before a body is read for nothing
        async with self._bodies.body(request) as body:
            yield await read_upload(request, body)

    async def _read(self, call: Callable[..., Result], *arguments: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._readers, partial(call, *arguments))


def api_app(endpoints: ApiEndpoints) -> FastAPI:
    """Return the ASGI application of the API, which describes itself at /openapi.json."""
    handlers = ERROR_HANDLERS | {
        RequestValidationError: _invalid,
        NotAnImage: _with_status(415),
        NameTaken: _with_status(409),
        UnknownVehicle: _with_status(404),
        QueueFull: _queue_full,
    }
    app = FastAPI(
        title="Vehicle search",
        description=f"Search, enrol and compare images of vehicles; {COLUMNS}.",
        version=__version__,
        docs_url=None,  # these pages load scripts from other servers
        redoc_url=None,
        exception_handlers=handlers,
    )
    app.include_router(endpoints.router())
    return app


_FILE = {"type": "string", "format": "binary"}
_DETAILS = {
    "type": "string",
    "contentMediaType": "application/json",
    "description": "a list with an object for each image: name, vehicle, camera, time and other details as text",
}


def _body(fields: Mapping[str, Any], *, required: bool) -> dict[str, Any]:
    """Return the description of a form for OpenAPI."""
    schema = {"type": "object", "properties": fields}
    return {"requestBody": {"required": required, "content": {FORM: {"schema": schema}}}}


def _filter(
    details: Mapping[str, str],
    cameras: list[int] | None,
    without_cameras: list[int] | None,
    since: str | None,
    until: str | None,
) -> Filter:
    """Return the conditions that a list and a search have in common."""
    return Filter(
        cameras=None if cameras is None else tuple(cameras),
        without_cameras=tuple(without_cameras or ()),
        since=since,
        until=until,
        equal=details,
    )


def _details(request: Request, own: tuple[str, ...]) -> dict[str, str]:
    """Return the parameters that are details. Raises HTTPException 422 if one is repeated."""
    found = [(name, value) for name, value in request.query_params.multi_items() if name not in own]
    if len(dict(found)) < len(found):
        raise HTTPException(422, "each detail can be given once")
    return dict(found)


def _require_known(request: Request, upload: Upload) -> None:
    """Raise HTTPException 422 for what would be lost: details of new images are in the text field `details` alone."""
    fields = {*upload.fields, *(file.field for file in upload.files)} - {"image", "details"}
    if fields or request.query_params or any(file.field == "details" for file in upload.files):
        raise HTTPException(422, "give details as JSON in the text field details; there is no other field or parameter")


def _require_names(names: Sequence[str]) -> None:
    """Raise HTTPException 422 if a name is too long, or is that of several images."""
    if any(len(name) > MAX_NAME for name in names):
        raise HTTPException(422, f"a name must have at most {MAX_NAME} characters")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise HTTPException(422, f"{printable(twice[0])} is the name of several images; give each its own")


def _new_vehicles(text: str, count: int) -> list[NewVehicle]:
    """Return the details of `count` images from JSON. Raises HTTPException 422 if they are invalid."""
    try:
        value = from_json(text)  # refuses lone surrogates, and lists in lists without end
    except ValueError as error:
        raise HTTPException(422, f"details is not JSON: {printable(error)}") from error
    if isinstance(value, dict):
        value = [value]
    if value == []:
        value = [{}] * count
    try:
        found = NEW_VEHICLES.validate_python(value)
    except ValidationError as error:
        raise HTTPException(422, f"details: {_first_problem(error.errors())}") from error
    if len(found) != count:
        raise HTTPException(422, f"details has {len(found)} objects for {count} images")
    return found


def _first_problem(errors: Any) -> str:
    first = errors[0]
    place = ".".join(str(one) for one in first["loc"] if one not in ("query", "path"))
    return printable(f"{place}: {first['msg']}" if place else first["msg"])


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return error_response(_first_problem(error.errors()), 422)


def _with_status(status: int) -> Handler:
    async def answer(request: Request, error: Exception) -> Response:
        return error_response(printable(error), status)

    return answer


async def _queue_full(request: Request, error: Exception) -> Response:
    assert isinstance(error, QueueFull)
    return error_response(str(error), 429, {"Retry-After": str(error.seconds)})
