"""What `/v1` does not draw: each with its status and a sentence."""

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/v1/models/none/images/1/1.png", 404, "there is no model 'none'; the models are toy, classes"),
        ("/v1/models/toy@0123456789abcdef/images/1/1.png", 404, "model toy is another one now, toy@abababababababab"),
        ("/v1/models/toy@ab/images/1/1.png", 404, "another one"),
        ("/v1/models/toy/images/1/1.gif", 404, "SAMPLE.png or SAMPLE.npy"),
        ("/v1/models/toy/images/1/x.png", 404, "SAMPLE.png"),
        ("/v1/models/toy/images/x/1.png", 422, "seed must be an integer, not 'x'"),
        (f"/v1/models/toy/images/{2**64}/1.png", 422, "seed must lie in [0, 2^64)"),
        (f"/v1/models/toy/images/1/{2**64}.png", 422, "first must lie in [0, 2^64)"),
        ("/v1/models/toy/images/1/1.png?steps=2000", 422, "steps must lie between 1 and the model's 1000"),
        ("/v1/models/toy/images/1/1.png?steps=5&steps=6", 422, "steps must not be in the query, or be there once"),
        ("/v1/models/toy/images/1/1.png?count=5", 422, "count must not be in the query"),
        ("/v1/models/toy/images/1/1.png?colour=5", 422, "there is no field 'colour'"),
        ("/v1/models/toy/images/1/1.png?label=5", 422, "the model is unconditional; leave out label"),
        ("/v1/models/toy/images/1/1.png?sampler=dpm", 422, "sampler must be one of ddpm"),
        ("/v1/models/toy/images/1/1.png?sampler=fitted", 422, "model toy has no table 'fitted-0'; it has none"),
        ("/v1/models/toy/images/1/1.png?table=fast", 422, "model toy has no table 'fast'; it has none"),
        ("/v1/models/toy/images/1/1.png?eta=nan", 422, "eta must be a number, not 'nan'"),
        (
            "/v1/models/classes/images/1/1.png?label=9",
            422,
            "label 9 is none of the model's: 0 to 3, where 3 is no class",
        ),
        ("/v1/models/classes/images/1/1.png?guidance=1e39", 422, "guidance must be a finite number of float32"),
        ("/v1/model", 404, "there is nothing under this path"),
        ("/v1/models/../../etc/passwd", 404, "nothing under this path"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(server, path, status, words):
    found = server.get(path)
    assert found.status == status
    assert words in server.error(found)
    assert found.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 422, "the body cannot be read: not JSON"),
        (b"[]", 422, "the body must be a JSON object"),
        (b'{"seed": 1, "seed": 2}', 422, "key 'seed'"),
        (b"\xff", 422, "not UTF-8"),
        (b"[" * 100_000, 422, "nested deeper"),
        ({"seed": 1.5}, 422, "seed must be an integer, not 1.5"),
        ({"seed": True}, 422, "seed must be an integer"),
        ({"count": 17}, 422, "count must be at most 16 on this server, not 17"),
        ({"count": 0}, 422, "count must be at least 1"),
        ({"count": "9" * 20}, 422, "count must be at most 16"),
        ({"steps": -1}, 422, "steps must be at least 1"),
        ({"guidance": "much"}, 422, "guidance must be a number"),
        ({"label": {"a": 1}}, 422, "label must be an integer"),
        ({"label": [1] * 17}, 422, "label must be at most 16 numbers on this server, not 17"),
        ({"sampler": 3}, 422, "sampler must be a string"),
        ({"priority": "now"}, 422, "priority must be interactive or bulk, not 'now'"),
        ({"inputs": {"mask": [1]}}, 422, "the model has no input 'mask' to be given; it has none"),
        ({"inputs": 1}, 422, "inputs must be an object"),
        ({"previews": 65}, 422, "previews must be an integer in [0, 64]"),
        ({"timesteps": [1, 2]}, 422, "timesteps must descend strictly"),
        (b'{"timesteps": [1e999]}', 422, "timesteps must descend strictly and lie in [0, 65536), not inf"),
        ({"seed\x1b[31m": 1}, 422, r"there is no field 'seed\x1b[31m'"),
    ],
)
def test_a_body_that_cannot_be_drawn_is_refused_in_a_sentence(server, body, status, words):
    headers = {} if isinstance(body, dict) else {"Content_Type": "application/json"}
    found = server.post("/v1/models/toy/images", body, **headers)
    assert found.status == status
    assert words in server.error(found)


def test_other_types_are_refused(server):
    text = server.post("/v1/models/toy/images", b"{}", Content_Type="text/plain")
    assert (text.status, server.error(text)) == (
        415,
        "the body must be JSON or a form; its Content-Type is application/json or multipart/form-data",
    )
    other = server.post("/v1/models/toy/images", {}, Accept="image/tiff")
    assert other.status == 406
    none = server.post("/v1/models/toy/images", {}, Accept="application/json;q=0, application/zip")
    assert none.headers["Content-Type"] == "application/zip"
    method = server.ask("PUT", "/v1/models/toy/images", {})
    assert (method.status, method.headers["Allow"]) == (405, "POST")
