"""The OpenAPI document of the server."""

from importlib.metadata import version
from typing import Any, get_args

from ..limits import MAX_TIMESTEPS
from ..samplers import NAMES
from ..samplers.dialects import DIALECTS
from ..samplers.schedule import Spacing
from .body import FORM, JSON, REQUEST, RESIZE
from .job import Priority

Schema = dict[str, Any]

STRING_OR_INTEGER: Schema = {
    "oneOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]{1,20}$"}]
}
REFUSALS = {
    "401": "the bearer token is missing or wrong",
    "404": "there is no such model or path",
    "408": "the body took too long",
    "413": "the body is too large",
    "422": "the request is invalid; the sentence says why",
    "429": "the queue is full; Retry-After says when to try again",
    "500": "the drawing failed; the sentence says why",
    "503": "the server is stopping",
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
FIELDS: dict[str, Schema] = {
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
    "previews": {"type": "integer", "minimum": 0, "maximum": 64,
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
        "paths": {path: {method: _operation(*facts) for method, facts in methods.items()}
                  for path, methods in _paths().items()},
    }  # fmt: skip


def _paths() -> dict[str, dict[str, tuple[Any, ...]]]:
    """Path and method to (summary, parameters, body, content of the response)."""
    model, json_any = [_in_path("model", "NAME or NAME@DIGEST")], {"application/json": {"schema": {"type": "object"}}}
    version = [*model, _in_path("version", "1")]
    image = [*model, _in_path("seed", "0 to 2^64 - 1"), _in_path("file", "SAMPLE.png or SAMPLE.npy")]
    query = {**SAMPLER, "timesteps": {"type": "string", "description": "comma list"}, "label": {"type": "integer"}}
    binary: Schema = {"schema": {"type": "string", "format": "binary"}}
    images = {"application/json": {"schema": _images()}, "application/zip": binary, "application/octet-stream": binary,
              "text/event-stream": {"schema": {"type": "string"}}}  # fmt: skip
    infer = ("Draw samples (Open Inference Protocol)", version, json_any,
             {**json_any, "application/octet-stream": binary})  # fmt: skip
    page = {"text/html": {"schema": {"type": "string"}}}
    return {
        "/": {"get": ("The page", [], None, page)},
        "/page.css": {"get": ("The style of the page", [], None, {"text/css": {"schema": {"type": "string"}}})},
        "/page.js": {"get": ("The script of the page", [], None, {"text/javascript": {"schema": {"type": "string"}}})},
        "/openapi.json": {"get": ("This document", [], None, json_any)},
        "/metrics": {"get": ("Metrics for Prometheus", [], None, {"text/plain": {"schema": {"type": "string"}}})},
        "/v1/models": {"get": ("The models", [], None, json_any)},
        "/v1/models/{model}": {"get": ("One model", model, None, json_any)},
        "/v1/models/{model}/images": {
            "post": ("Draw samples", model, {JSON: {"schema": _object(FIELDS)},
                     FORM: {"schema": _form()}}, images)
        },
        "/v1/models/{model}/images/{seed}/{file}": {
            "get": ("One sample, cacheable", [*image, *_in_query(query)], None,
                    {"image/png": binary, "application/octet-stream": binary})
        },
        "/v2": {"get": ("The server", [], None, json_any)},
        "/v2/health/live": {"get": ("Whether the process answers", [], None, json_any)},
        "/v2/health/ready": {"get": ("Whether requests are taken", [], None, json_any)},
        "/v2/models/{model}": {"get": ("Inputs and outputs of a model", model, None, json_any)},
        "/v2/models/{model}/versions/{version}": {"get": ("The same", version, None, json_any)},
        "/v2/models/{model}/ready": {"get": ("Whether a model works", model, None, json_any)},
        "/v2/models/{model}/versions/{version}/ready": {"get": ("The same", version, None, json_any)},
        "/v2/models/{model}/infer": {"post": (infer[0], model, *infer[2:])},
        "/v2/models/{model}/versions/{version}/infer": {"post": infer},
    }  # fmt: skip


def _operation(summary: str, parameters: list[Schema], body: Schema | None, content: Schema) -> Schema:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    responses: Schema = {"200": {"description": "success", "content": content}}
    if any(parameter["name"] == "file" for parameter in parameters):
        responses["304"] = {"description": "the client has the image already"}
    responses |= {status: {"description": text, "content": error} for status, text in REFUSALS.items()}
    operation: Schema = {"summary": summary, "parameters": parameters, "responses": responses}
    return operation if body is None else {**operation, "requestBody": {"required": True, "content": body}}


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
    properties = {REQUEST: _object(FIELDS), RESIZE: {"type": "string", "enum": ["1", "true"]}}
    return {**_object(properties), "additionalProperties": value}


def _images() -> Schema:
    text: Schema = {"type": "string"}
    maybe: Schema = {"type": ["string", "null"]}
    image = {"seed": text, "sample": text, "label": {"type": ["integer", "null"]}, "url": maybe, "command": maybe,
             "png": {**text, "contentEncoding": "base64"}, "npy": {**text, "contentEncoding": "base64"}}  # fmt: skip
    return _object({"model": text, "images": {"type": "array", "items": _object(image)}})
