"""The OpenAPI document against the routes and the fields that there are."""

import ast
import json

import pytest
from device_loops import Host
from repository import ROOT
from served import Server

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")


@pytest.fixture(scope="module")
def server():
    with Server({"toy": Host()}) as running:
        yield running


def test_the_document_has_every_path_and_method_and_no_other(server):
    from ddpm_rt.serve.app import Access, routes_of
    from ddpm_rt.serve.openapi import openapi_document

    routes = {(route.path, method.lower()) for route in routes_of(server.service, Access()) for method in route.methods}
    described = {(path, method) for path, methods in openapi_document()["paths"].items() for method in methods}
    assert described == {(path, method) for path, method in routes if method != "head"}


def test_the_document_has_every_field_of_a_request(server):
    from ddpm_rt.serve.fields import FIELDS
    from ddpm_rt.serve.openapi import FIELD_SCHEMAS

    assert set(FIELD_SCHEMAS) == {*FIELDS, "previews"}
    document = json.loads(server.get("/openapi.json").body)
    one = document["paths"]["/v1/models/{model}/images/{seed}/{file}"]["get"]["parameters"]
    in_query = {parameter["name"] for parameter in one if parameter["in"] == "query"}
    for name in FIELDS:
        path = f"/v1/models/toy/images/1/1.png?{name}="
        assert (b"must not be in the query" in server.get(path).body) == (name not in in_query), name


def test_every_parameter_of_a_path_is_described(server):
    document = json.loads(server.get("/openapi.json").body)
    for path, methods in document["paths"].items():
        for operation in methods.values():
            found = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
            assert found == {part[1:-1] for part in path.split("/") if part.startswith("{")}


def statuses_of_refusals():
    """The status of every `Refused` and `HTTPException` of the server's code, and of what its router refuses."""
    yield 405
    for source in (ROOT / "runtime/ddpm_rt/serve").glob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Refused", "HTTPException"):
                yield from (argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant))


def test_the_document_has_every_status_that_the_server_sends_and_no_other(server):
    sent = {*statuses_of_refusals()}
    assert {401, 404, 413, 422, 429, 503} < sent
    document = json.loads(server.get("/openapi.json").body)
    for path, methods in document["paths"].items():
        for operation in methods.values():
            refused = operation["responses"].keys() - {"200", "304"}
            assert refused == {str(status) for status in sent}, path


def test_the_document_says_304_where_the_server_sends_an_etag(server):
    described = json.loads(server.get("/openapi.json").body)["paths"]
    for path in ("/", "/page.css", "/page.js", "/metrics", "/v1/models", "/v2"):
        assert ("304" in described[path]["get"]["responses"]) == ("ETag" in server.get(path).headers), path
    assert "304" in described["/v1/models/{model}/images/{seed}/{file}"]["get"]["responses"]
