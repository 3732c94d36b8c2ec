"""The OpenAPI document of the server."""

from importlib.metadata import version
from typing import Any, NamedTuple, get_args

from ..limits import MAX_TIMESTEPS
from ..samplers import NAMES
from ..samplers.dialects import DIALECTS
from ..samplers.schedule import Spacing
from .body import FORM, JSON, REQUEST, RESIZE
from .events import MOST_PREVIEWS
from .job import Priority
from .refusals import MEANINGS

Schema = dict[str, Any]


class Operation(NamedTuple):
    """What a method of a path takes and answers."""

    summary: str
    parameters: list[Schema]
    content: Schema  # of the response with status 200, by media type
    body: Schema | None = None  # of the request, by media type
    has_etag: bool = False  # a client that has the content gets 304


STRING_OR_INTEGER: Schema = {
    "oneOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]{1,20}$"}]
}
SAMPLER: dict[str, Schema] = {
    "sampler": {"type": "string", "enum": list(NAMES), "description": "default: ddim"},
    "steps": {"type": "integer", "minimum": 1, "maximum": MAX_TIMESTEPS, "description": "network calls; default: 50"},
    "eta": {"type": "number", "minimum": 0, "maximum": 1, "description": "noise of ddim; default: 0"},
    "spacing": {"type": "string", "enum": list(get_args(Spacing)), "description": "default: the model's"},
    "dialect": {"type": "string", "enum": list(DIALECTS), "description": "default: ho2020"},
    "table": {"type": "string", "description": "NAME or NAME@DIGEST of a table of the model, instead of a sampler"},
    "guidance": {"type": "number", "description": "guidance scale of the label; default: 1"},
}
LABEL: Schema = {
    "oneOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}],
    "description": "class of the samples; sample n has label n modulo their count; default: every class in turn",
}
FIELD_SCHEMAS: dict[str, Schema] = {
    "seed": {**STRING_OR_INTEGER, "description": "default: 0; a string where JavaScript would round it"},
    "first": {**STRING_OR_INTEGER, "description": "number of the first sample; default: 0"},
    "count": {"type": "integer", "minimum": 1, "description": "samples; default: 1"},
    **SAMPLER,
    "timesteps": {"type": "array", "items": {"type": "number"}, "description": "instead of steps and spacing"},
    "label": LABEL,
    "inputs": {"type": "object", "description": "values of the model's conditions by name, each for all samples, or a "
               "list of which sample n takes entry n modulo its length"},
    "null_inputs": {"type": "object", "description": "with guidance: the values that stand for no condition"},
    "priority": {"type": "string", "enum": list(get_args(Priority)), "description": "default: interactive"},
    "previews": {"type": "integer", "minimum": 0, "maximum": MOST_PREVIEWS,
                 "description": "previews of each sample in an event stream; default: 0"},
}  # fmt: skip


def openapi_document() -> Schema:
    """The document, OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ddpm-rt serve",
            "version": version("ddpm-rt"),
            "description": "Draws numbered samples of diffusion models. A sample depends only on the model, the "
            "sampler, the seed, its number and its label.",
            "license": {"name": "Apache-2.0"},
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": _object({"error": {"type": "string"}}, ["error"])},
        },
        "security": [{"token": []}, {}],
        "paths": {path: {method: _described(operation) for method, operation in methods.items()}
                  for path, methods in _paths().items()},
    }  # fmt: skip


def _paths() -> dict[str, dict[str, Operation]]:
    """The operations by path and method."""
    model, json_any = [_in_path("model", "NAME or NAME@DIGEST")], {"application/json": {"schema": {"type": "object"}}}
    version = [*model, _in_path("version", "1")]
    image = [*model, _in_path("seed", "0 to 2^64 - 1"), _in_path("file", "SAMPLE.png or SAMPLE.npy")]
    query = {**SAMPLER, "timesteps": {"type": "string", "description": "comma list"}, "label": {"type": "integer"}}
    text: Schema = {"schema": {"type": "string"}}
    binary: Schema = {"schema": {"type": "string", "format": "binary"}}
    images = {"application/json": {"schema": _images()}, "application/zip": binary, "application/octet-stream": binary,
              "text/event-stream": text}  # fmt: skip
    asked = {JSON: {"schema": _object(FIELD_SCHEMAS)}, FORM: {"schema": _form()}}
    one = {"image/png": binary, "application/octet-stream": binary}
    infer = Operation("Draw samples (Open Inference Protocol)", version,
                      {**json_any, "application/octet-stream": binary}, json_any)  # fmt: skip
    return {
        "/": {"get": Operation("The page", [], {"text/html": text}, has_etag=True)},
        "/page.css": {"get": Operation("The style of the page", [], {"text/css": text}, has_etag=True)},
        "/page.js": {"get": Operation("The script of the page", [], {"text/javascript": text}, has_etag=True)},
        "/openapi.json": {"get": Operation("This document", [], json_any)},
        "/metrics": {"get": Operation("Metrics for Prometheus", [], {"text/plain": text})},
        "/v1/models": {"get": Operation("The models", [], json_any)},
        "/v1/models/{model}": {"get": Operation("One model", model, json_any)},
        "/v1/models/{model}/images": {"post": Operation("Draw samples", model, images, asked)},
        "/v1/models/{model}/images/{seed}/{file}": {
            "get": Operation("One sample, cacheable", [*image, *_in_query(query)], one, has_etag=True)
        },
        "/v2": {"get": Operation("The server", [], json_any)},
        "/v2/health/live": {"get": Operation("Whether the process answers", [], json_any)},
        "/v2/health/ready": {"get": Operation("Whether requests are taken", [], json_any)},
        "/v2/models/{model}": {"get": Operation("Inputs and outputs of a model", model, json_any)},
        "/v2/models/{model}/versions/{version}": {"get": Operation("The same", version, json_any)},
        "/v2/models/{model}/ready": {"get": Operation("Whether a model works", model, json_any)},
        "/v2/models/{model}/versions/{version}/ready": {"get": Operation("The same", version, json_any)},
        "/v2/models/{model}/infer": {"post": infer._replace(parameters=model)},
        "/v2/models/{model}/versions/{version}/infer": {"post": infer},
    }


def _described(operation: Operation) -> Schema:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    responses: Schema = {"200": {"description": "success", "content": operation.content}}
    if operation.has_etag:
        responses["304"] = {"description": "the client has the content already"}
    responses |= {str(status): {"description": text, "content": error} for status, text in MEANINGS.items()}
    described: Schema = {"summary": operation.summary, "parameters": operation.parameters, "responses": responses}
    body = {} if operation.body is None else {"requestBody": {"required": True, "content": operation.body}}
    return described | body


def _in_path(name: str, description: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": {"type": "string"}}


def _in_query(fields: dict[str, Schema]) -> list[Schema]:
    return [{"name": name, "in": "query", "schema": schema} for name, schema in fields.items()]


def _object(properties: dict[str, Schema], required: list[str] | None = None) -> Schema:
    return {"type": "object", "properties": properties, "required": required or [], "additionalProperties": False}


def _form() -> Schema:
    """A form whose part `request` is the object of a JSON body."""
    value = {"type": "string", "format": "binary",
             "description": "inputs.NAME or null_inputs.NAME: a number, an .npy file, or a picture"}  # fmt: skip
    properties = {REQUEST: _object(FIELD_SCHEMAS), RESIZE: {"type": "string", "enum": ["1", "true"]}}
    return {**_object(properties), "additionalProperties": value}


def _images() -> Schema:
    text: Schema = {"type": "string"}
    maybe: Schema = {"type": ["string", "null"]}
    image = {"seed": text, "sample": text, "label": {"type": ["integer", "null"]}, "url": maybe, "command": maybe,
             "png": {**text, "contentEncoding": "base64"}, "npy": {**text, "contentEncoding": "base64"}}  # fmt: skip
    return _object({"model": text, "images": {"type": "array", "items": _object(image)}})
