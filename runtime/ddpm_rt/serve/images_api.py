"""`/v1/models`: what there is to draw, one image under its URL, and many images of one request."""

import re
from typing import Any

import numpy as np
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from ..requests.labels import every_class
from ..samplers import samplers_of
from .body import fields_of
from .client_request import ClientRequest
from .encoding import MEDIA_TYPES, check_picture, facts_of, npy_of, png_of, zip_of
from .events import EventStream, parse_previews
from .refusals import Refused
from .served_model import ServedModel
from .service import Service, encoded

FILE = re.compile(r"(?P<sample>[0-9]{1,20})\.(?P<kind>png|npy)")
FOR_EVER = "max-age=31536000, immutable"
ACCEPTED = {  # media type to kind, in the order of preference where a client takes several
    "text/event-stream": "events",
    "application/json": "json",
    "application/zip": "zip",
    "application/octet-stream": "npy",
    "application/*": "json",
    "*/*": "json",
}


class ImagesApi:
    """The endpoints. `is_private`: caches that several users share must not keep what a token protects."""

    def __init__(self, service: Service, *, is_private: bool) -> None:
        self._service, self._cache = service, "private" if is_private else "public"

    async def models(self, request: HttpRequest) -> Response:
        return JSONResponse({"models": [facts_of_model(model) for model in self._service.models.values()]})

    async def model(self, request: HttpRequest) -> Response:
        return JSONResponse(facts_of_model(self._service.model(request.path_params["model"])[0]))

    async def image(self, request: HttpRequest) -> Response:
        """One sample. A client that has the image already gets 304, and nothing is drawn."""
        found = FILE.fullmatch(request.path_params["file"])
        if found is None:
            raise Refused(404, "an image is named SAMPLE.png or SAMPLE.npy")
        model, is_pinned = self._service.model(request.path_params["model"])
        query = dict(request.query_params)
        if wrong := [key for key in query if key in PLACES or len(request.query_params.getlist(key)) > 1]:
            raise Refused(422, f"{wrong[0]} must not be in the query, or be there once")
        fields = {**query, "seed": request.path_params["seed"], "first": found["sample"], "count": 1}
        asked, kind = self._service.asked(model, fields), found["kind"]
        if kind == "png":
            _check_picture(asked)
        sample = asked.samples[0]
        age = FOR_EVER if is_pinned and asked.is_pinned else "no-cache"
        headers = {
            "ETag": asked.etag(sample, kind),
            "Cache-Control": f"{self._cache}, {age}",
            "Content-Location": asked.url(sample, kind),
            "Content-Disposition": f'inline; filename="{sample:06d}.{kind}"',
        }
        if is_known(request.headers.get("if-none-match"), headers["ETag"]):
            return Response(status_code=304, headers=headers)
        if request.method == "HEAD":
            return Response(headers=headers, media_type=MEDIA_TYPES[kind])
        (image,) = await self._service.drawn_asked(asked, request.receive)
        content = await (
            encoded(image.size, png_of, asked, sample, image) if kind == "png" else encoded(image.size, npy_of, image)
        )
        return Response(content, headers=headers, media_type=MEDIA_TYPES[kind])

    async def images(self, request: HttpRequest) -> Any:
        """Many samples, in the format of the header Accept."""
        model, _ = self._service.model(request.path_params["model"])
        kind = kind_of(request.headers.get("accept", "*/*"))
        fields = await fields_of(request, model.engine.card)
        previews = parse_previews(fields.pop("previews", 0))
        asked = self._service.asked(model, fields)
        if kind == "zip":
            _check_picture(asked)
        if kind == "events":
            return EventStream(self._service, asked, previews)
        images = await self._service.drawn_asked(asked, request.receive)
        size = sum(image.size for image in images)
        if kind == "npy":
            return Response(await encoded(size, npy_of, np.stack(images)), media_type=MEDIA_TYPES["npy"])
        if kind == "zip":
            return Response(await encoded(size, zip_of, asked, images), media_type=MEDIA_TYPES["zip"])
        return JSONResponse(await encoded(size, _all_facts, asked, images))


# Fields that the path of an image decides, or that it has not.
PLACES = ("seed", "first", "count", "priority", "inputs", "null_inputs")


def _check_picture(asked: ClientRequest) -> None:
    try:
        check_picture(asked)
    except ValueError as error:
        raise Refused(422, str(error)) from error


def _all_facts(asked: ClientRequest, images: list[Any]) -> dict[str, Any]:
    facts = [facts_of(asked, sample, image) for sample, image in zip(asked.samples, images, strict=True)]
    return {"model": asked.model.name, "images": facts}


def facts_of_model(model: ServedModel) -> dict[str, Any]:
    """What a client needs to know to ask for images."""
    card = model.engine.card
    labels = every_class(card)
    return {
        "name": model.name,
        "pinned": f"{model.name}@{model.digest}" if model.digest else model.name,
        "sha256": model.sha256,
        "image_shape": list(card.image_shape),
        "precision": card.precision,
        "is_picture": card.is_picture,
        "train_steps": len(card.betas) or None,
        "labels": None if card.classes is None else list(labels or range(card.classes)),
        "null_class": card.null_class,
        "inputs": {name: {"dtype": facts.dtype, "shape": list(facts.shape)} for name, facts in card.conditions.items()},
        "samplers": list(samplers_of(card.forward_process.kind)),
        "tables": [
            {"name": table.name, "steps": table.compiled.table.steps, "sampler": table.compiled.sampler,
             "pinned": f"{table.name}@{table.digest}"}
            for table in model.tables.values()
        ],
    }  # fmt: skip


def kind_of(accept: str) -> str:
    """The format for a header Accept. Raises Refused where there is none that the client takes."""
    taken = _media_types(accept)
    for wanted, kind in ACCEPTED.items():
        if wanted in taken:
            return kind
    raise Refused(406, f"the formats are {', '.join(name for name in ACCEPTED if '*' not in name)}")


def _media_types(accept: str) -> set[str]:
    found = set()
    for part in accept.split(",")[:32]:
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if not any(re.fullmatch(r"q=0(\.0*)?", parameter) for parameter in parameters):
            found.add(name)
    return found


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Whether a client has the image: weak comparison (RFC 9110, section 13.1.2)."""
    if if_none_match is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in tags or etag.removeprefix("W/") in tags
