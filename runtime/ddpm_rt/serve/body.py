"""The body of a request for images: JSON, or a form of JSON and files (multipart/form-data)."""

import tempfile
from email.message import Message
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest

from ..artifacts.bounded_read import parse_json
from ..artifacts.card import ModelCard
from ..errors import DdpmRtError
from ..images.read import load_input
from ..text import quoted
from .refusals import Refused

JSON, FORM = "application/json", "multipart/form-data"
REQUEST, RESIZE = "request", "resize"  # parts of a form; the others are inputs
MAX_PARTS = 64
NPY = b"\x93NUMPY"


async def fields_of(request: HttpRequest, card: ModelCard) -> dict[str, Any]:
    """The fields of the request. Raises Refused for a body of another type, or one that cannot be read."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == JSON:
        return json_object(await request.body())
    if kind != FORM:
        raise Refused(415, f"the body must be JSON or a form; its Content-Type is {JSON} or {FORM}")
    body = await request.body()  # whole and bounded, before its parts are read
    if not _is_whole(body, request.headers["content-type"]):
        raise Refused(422, "the form is incomplete: its closing boundary is missing")
    try:
        async with request.form(max_files=MAX_PARTS, max_fields=MAX_PARTS) as form:
            return await run_in_threadpool(_fields_of_form, form, card)
    except HTTPException as error:
        raise Refused(422, f"the form cannot be read: {quoted(error.detail)}") from error


def _is_whole(body: bytes, content_type: str) -> bool:
    """Whether a form has its closing boundary: the parser drops a part without one, and its fields with it."""
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_boundary()
    return boundary is None or f"--{boundary}--".encode("latin-1", "replace") in body


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body. Raises Refused for anything else."""
    try:
        fields = parse_json(body, constants=False)
    except ValueError as error:
        raise Refused(422, f"the body cannot be read: {error}") from error
    if not isinstance(fields, dict):
        raise Refused(422, "the body must be a JSON object")
    return fields


def _fields_of_form(form: FormData, card: ModelCard) -> dict[str, Any]:
    """The fields of part `request`, and the inputs of parts `inputs.NAME` and `null_inputs.NAME`."""
    names = [name for name, _ in form.multi_items()]
    if twice := [name for name in names if names.count(name) > 1]:
        raise Refused(422, f"part {quoted(twice[0])} is there twice")
    fields = json_object(_content(form[REQUEST])) if REQUEST in form else {}
    resize = RESIZE in form and _content(form[RESIZE]) in (b"1", b"true")
    for name in names:
        if name in (REQUEST, RESIZE):
            continue
        group, dot, key = name.partition(".")
        if group not in ("inputs", "null_inputs") or not dot:
            raise Refused(422, f"there is no part {quoted(name)}; the parts are {REQUEST}, {RESIZE} and inputs.NAME")
        given = fields.setdefault(group, {})
        if not isinstance(given, dict) or key in given:
            raise Refused(422, f"input {quoted(key)} is given twice")
        given[key] = _value(form[name], group, key, card, resize=resize)
    return fields


def _content(part: UploadFile | str) -> bytes:
    return part.encode() if isinstance(part, str) else part.file.read()


def _value(part: UploadFile | str, group: str, key: str, card: ModelCard, *, resize: bool) -> Any:
    """A number from text, or an array from an .npy file or a picture."""
    content = _content(part)
    if isinstance(part, str):
        try:
            return float(part)
        except ValueError as error:
            raise Refused(422, f"{group}.{key} must be a number or a file, not {quoted(part)}") from error
    with tempfile.TemporaryDirectory() as folder:  # the readers of untrusted files read regular files
        path = Path(folder, f"{group}.npy" if content.startswith(NPY) else group)
        path.write_bytes(content)
        try:
            return load_input(card, key, path, resize=resize)
        except (ValueError, DdpmRtError) as error:
            raise Refused(422, str(error).replace(str(path), f"{group}.{key}")) from error
