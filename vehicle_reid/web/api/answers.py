"""What the API takes and answers, as OpenAPI describes it."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from vehicle_reid.gallery.filters import AS_TIME, is_time

MAX_NAME = 1000  # characters, of an image
MOST_CAMERA = 2**63 - 1  # a gallery stores cameras as int64
FILTERED_BY = ("camera", "not-camera", "since", "until")
SEARCHED_BY = ("name", "page-photo", "k", *FILTERED_BY, "rerank", "box")
LISTED_BY = ("start", "count", "words", *FILTERED_BY)
Camera = Annotated[int, Field(ge=0, le=MOST_CAMERA)]


def _time(text: str) -> str:
    if not is_time(text):
        raise PydanticCustomError("time", AS_TIME)
    return text


Time = Annotated[str, AfterValidator(_time)]


class Part(BaseModel):
    """A part of a vehicle: its share of the attention, and its box in pixels: left, top, right, bottom."""

    name: str
    weight: float
    box: list[float]


class Vehicle(BaseModel):
    """An image of a vehicle in the gallery; a camera is null, a detail is "" if it is unknown."""

    id: int
    name: str
    vehicle: str
    camera: int | None
    time: str
    details: dict[str, str] = Field(description="the other columns of the gallery")


class Match(Vehicle):
    """An image of the gallery that is compared with the query."""

    score: float = Field(description="cosine similarity, from -1 to 1; another score with rerank")
    parts: list[Part] = Field(description="the strongest first")


class SearchAnswer(BaseModel):
    """The best matches, the first one first, and whether the first is believed to be the vehicle."""

    matches: list[Match]
    parts: list[Part] = Field(description="of the query, the strongest first")
    confidence: float | None = Field(description="that the first match is the vehicle; null if it is not calibrated")
    accepted: bool | None = Field(description="false: the vehicle is probably not among the images that were searched")


class VehiclePage(BaseModel):
    """Images of the gallery by name; `total` counts all that meet the conditions."""

    total: int
    vehicles: list[Vehicle]


class Enrolled(BaseModel):
    """The images that are now in the gallery, on the disk, in the order in which they were sent."""

    vehicles: list[Vehicle]


class Comparison(BaseModel):
    """Two images: the cosine similarity from -1 to 1, and the parts of each, the strongest first."""

    score: float
    first: list[Part]
    second: list[Part]


class Health(BaseModel):
    """The server answers."""

    status: str = "ok"


class ErrorAnswer(BaseModel):
    """Why a request was refused, in one line."""

    error: str


class NewVehicle(BaseModel):
    """The details of an image to enrol; other fields are further columns of text."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str]

    name: str | None = Field(None, max_length=MAX_NAME, description="default: the name of the file")
    vehicle: str = ""
    camera: Camera | None = None
    time: Annotated[str, AfterValidator(lambda text: text and _time(text))] = Field("", description="ISO 8601")
