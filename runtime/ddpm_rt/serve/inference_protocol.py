"""The Open Inference Protocol v2 over HTTP, so that `tritonclient`, KServe and others can ask for images.

Inputs: `seed` `[1]` or `[N]`, `sample` `[N]`, and `label` `[N]` of a class-conditional model; the sampler and the
guidance are parameters of the request (`table`, or `sampler`, `steps`, ...; `guidance`; `priority`). The output is
`images`, FP32 `[N, C, H, W]` in [-1, 1]. A named condition of a model is one more input, under its name.
"""

import json
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from ..limits import check_count
from ..noise import UINT64_END
from ..requests.labels import check_labels
from ..text import one_line, quoted
from .binary_tensors import HEADER, read_tensors, split_body, tensor_bytes, tensor_facts
from .body import json_object
from .chain import Chain
from .client_request import ClientRequest
from .job import Job
from .refusals import Refused
from .served_model import ServedModel
from .service import Service

NAME, VERSION = "ddpm-rt", "1"  # of every model there is one version
OUTPUT = "images"
OWN = ("seed", "sample", "label")  # inputs of every model, or of every class-conditional one
PLACES = ("seed", "first", "count", "label", "inputs", "null_inputs")  # fields that are no parameters
DATATYPES = {"float32": "FP32", "int64": "INT64", "int32": "INT32"}
CONTROLS = ("binary_data_output", "sequence_id", "sequence_start", "sequence_end", "timeout")  # no fields of a request


class InferenceProtocol:
    """The endpoints under `/v2`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def server(self, request: HttpRequest) -> Response:
        return JSONResponse({"name": NAME, "version": version(NAME), "extensions": ["binary_tensor_data"]})

    async def live(self, request: HttpRequest) -> Response:
        is_live = self._service.is_well
        return JSONResponse({"live": is_live}, 200 if is_live else 503)

    async def ready(self, request: HttpRequest) -> Response:
        is_ready = self._service.is_ready
        return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)

    async def model_ready(self, request: HttpRequest) -> Response:
        model = self._model(request)
        is_ready = model.scheduler.is_well and not self._service.is_draining
        return JSONResponse({"name": model.name, "ready": is_ready}, 200 if is_ready else 503)

    async def model(self, request: HttpRequest) -> Response:
        model = self._model(request)
        card = model.engine.card
        inputs = [_metadata("seed", "UINT64", [-1]), _metadata("sample", "UINT64", [-1])]
        inputs += [] if card.classes is None else [_metadata("label", "INT64", [-1])]
        inputs += [
            _metadata(name, DATATYPES[facts.dtype], [-1, *facts.shape]) for name, facts in card.conditions.items()
        ]
        outputs = [_metadata(OUTPUT, "FP32", [-1, *card.image_shape])]
        facts = {"name": model.name, "versions": [VERSION], "platform": "ddpm_rt"}
        return JSONResponse({**facts, "inputs": inputs, "outputs": outputs})

    async def infer(self, request: HttpRequest) -> Response:
        model = self._model(request)
        try:
            body = split_body(await request.body(), request.headers.get(HEADER))
            fields = json_object(body.json)
            tensors = read_tensors(fields.get("inputs"), body.tensors)
            wants_bytes = _wants_bytes(fields, default=request.headers.get(HEADER) is not None)
            asked, chains = self._chains(model, tensors, fields.get("parameters") or {})
        except ValueError as error:
            raise Refused(422, str(error)) from error
        images = np.stack(await self._service.drawn(model, Job(chains, priority=asked.priority), request.receive))
        return _response(model, fields.get("id"), images, wants_bytes)

    def _model(self, request: HttpRequest) -> ServedModel:
        model, _ = self._service.model(request.path_params["model"])
        if request.path_params.get("version", VERSION) != VERSION:
            raise Refused(404, f"model {model.name} has one version, {VERSION}")
        return model

    def _chains(
        self, model: ServedModel, tensors: dict[str, NDArray[Any]], parameters: Any
    ) -> tuple[ClientRequest, list[Chain]]:
        """The chains of an infer request, each with its own seed, sample and label. Raises ValueError and Refused."""
        if not isinstance(parameters, dict):
            raise ValueError(f"parameters must be an object, not {quoted(parameters)}")
        conditions = {name: array for name, array in tensors.items() if name in model.engine.card.conditions}
        if unknown := [name for name in tensors if name not in (*OWN, *conditions)]:
            raise ValueError(f"model {model.name} has no input {quoted(unknown[0])}")
        if missing := [name for name in ("seed", "sample") if name not in tensors]:
            raise ValueError(f"the input {missing[0]} is missing")
        samples = _integers("sample", tensors["sample"], UINT64_END)
        check_count("the number of samples", len(samples), self._service.limits.samples)
        seeds = _spread("seed", _integers("seed", tensors["seed"], UINT64_END), len(samples))
        options = {key: value for key, value in parameters.items() if key not in CONTROLS}
        if placed := [key for key in options if key in PLACES]:
            raise ValueError(f"{placed[0]} is an input, not a parameter")
        labels = None
        if "label" in tensors:
            labels = _spread("label", _integers("label", tensors["label"], 1 << 63), len(samples))
            options["label"] = labels
        fields = {"seed": seeds[0], "first": samples[0], "count": 1, "inputs": conditions}
        asked = self._service.asked(model, {**options, **fields})
        card = model.engine.card
        if labels is None and card.classes is not None:
            labels = [label for sample in samples if (label := asked.label_of(sample)) is not None]
        check_labels(card, labels, asked.bound.guidance)
        given = {name: _entries(asked, name, len(samples)) for name in conditions}
        chains = [
            replace(
                asked.chain(seed, sample, None if labels is None else labels[place]),
                inputs={name: values[place] for name, values in given.items()},
            )
            for place, (seed, sample) in enumerate(zip(seeds, samples, strict=True))
        ]
        return asked, chains


def _entries(asked: ClientRequest, name: str, count: int) -> NDArray[Any]:
    """The values of a condition, one for each sample. Raises ValueError for another number of them."""
    entries = asked.bound.request.given_inputs.entries(name, asked.model.engine.card.conditions[name])
    if len(entries) not in (1, count):
        raise ValueError(f"{name} must have one entry, or {count}, not {len(entries)}")
    return np.repeat(entries, count, axis=0) if len(entries) == 1 else entries


def _metadata(name: str, kind: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "datatype": kind, "shape": shape}


def _integers(name: str, array: NDArray[Any], limit: int) -> list[int]:
    if array.ndim > 2 or (array.ndim == 2 and 1 not in array.shape) or array.dtype.kind not in "iu":
        raise ValueError(f"{name} must be a list of integers, not {array.dtype} {list(array.shape)}")
    numbers: list[int] = array.reshape(-1).tolist()
    if wrong := [number for number in numbers if not 0 <= number < limit]:
        raise ValueError(f"{name} must lie in [0, {limit}), not {wrong[0]}")
    return numbers


def _spread(name: str, numbers: list[int], count: int) -> list[int]:
    """One number for each sample."""
    if len(numbers) not in (1, count):
        raise ValueError(f"{name} must have one number, or {count}, not {len(numbers)}")
    return numbers * count if len(numbers) == 1 else numbers


def _wants_bytes(fields: dict[str, Any], *, default: bool) -> bool:
    """Whether the output is to be sent as bytes. Raises ValueError for outputs that there are not."""
    parameters = fields.get("parameters")
    wanted = parameters.get("binary_data_output", default) if isinstance(parameters, dict) else default
    outputs = fields.get("outputs")
    if outputs is None:
        return bool(wanted)
    if not isinstance(outputs, list) or not all(isinstance(entry, dict) for entry in outputs):
        raise ValueError("outputs must be a list of objects with a name")
    if [entry.get("name") for entry in outputs] != [OUTPUT]:
        raise ValueError(f"the only output is {OUTPUT}")
    own = outputs[0].get("parameters")
    return bool(own.get("binary_data", wanted)) if isinstance(own, dict) else bool(wanted)


def _response(model: ServedModel, request_id: Any, images: NDArray[np.float32], as_bytes: bool) -> Response:
    facts: dict[str, Any] = {"model_name": model.name, "model_version": VERSION}
    if isinstance(request_id, str):
        facts["id"] = one_line(request_id)
    output = tensor_facts(OUTPUT, images)
    if not as_bytes:
        return JSONResponse({**facts, "outputs": [{**output, "data": images.reshape(-1).tolist()}]})
    content = tensor_bytes(images)
    head = json.dumps({**facts, "outputs": [{**output, "parameters": {"binary_data_size": len(content)}}]}).encode()
    headers = {HEADER: str(len(head))}
    return Response(head + content, headers=headers, media_type="application/octet-stream")
