"""Models of other kinds on shared lanes: conditions, self-conditioning, other processes, and other ranks."""

import io
import json

import numpy as np
import pytest
from device_loops import Host
from other_kinds import flow_card, images, mixed, mixed_card, sigma_card, velocity_of_flow, x0_of_sigma
from PIL import Image
from served import Server, chains_of

from ddpm_rt import Request
from ddpm_rt.artifacts.card_facts import InputFacts
from ddpm_rt.serve.host_lanes import HostLanes

SHIFT = {"shift": InputFacts("float32", ())}
PICTURES = images(4, (1, 4, 6))


def run(engine, requests):
    """The images of the requests, drawn on the same lanes; each begins a step after the one before."""
    groups, lanes, turn = [chains_of(request, engine.card) for request in requests], HostLanes(engine), 0
    while True:
        running = [chain for group in groups[: turn + 1] for chain in group if not chain.is_over]
        if not running:
            return [np.stack([chain.x for chain in group]) for group in groups]
        lanes.step(running)
        turn += 1


CASES = {
    "conditions and self-conditioning": (
        mixed, mixed_card(),
        [{"steps": 5, "inputs": {"image": PICTURES, "number": [1, 2, 3]}},
         {"steps": 4, "sampler": "ddpm", "inputs": {"image": PICTURES[0], "number": 7}}],
    ),
    "guidance by null inputs beside samples without": (
        mixed, mixed_card(),
        [{"steps": 5, "inputs": {"image": PICTURES, "number": 1}, "null_inputs": {"number": 0}, "guidance": 2.0},
         {"steps": 4, "inputs": {"image": PICTURES[1], "number": 2}}],
    ),
    "noise levels, scaled noise and sequences": (
        x0_of_sigma, sigma_card(inputs=SHIFT),
        [{"steps": 5, "inputs": {"shift": [0.1, 0.2]}}, {"steps": 7, "inputs": {"shift": 0.3}}],
    ),
    "fractional times of a flow": (velocity_of_flow, flow_card(), [{"steps": 6}, {"steps": 4}]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_samples_are_those_of_the_host_loop_to_the_bit(case):
    function, card, asked = CASES[case]
    engine = Host(function, card)
    requests = [Request(seed=place, first=place, count=3, **options) for place, options in enumerate(asked)]
    for request, found in zip(requests, run(engine, requests), strict=True):
        np.testing.assert_array_equal(found.view(np.uint32), request.drawn(engine).view(np.uint32))


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("starlette")
    pytest.importorskip("uvicorn")
    engines = {"mixed": Host(mixed, mixed_card()), "sigma": Host(x0_of_sigma, sigma_card(inputs=SHIFT))}
    with Server(engines) as running:
        yield running


def test_conditions_are_given_by_name(server):
    facts = json.loads(server.get("/v1/models/mixed").body)
    assert facts["inputs"] == {
        "image": {"dtype": "float32", "shape": [1, 4, 6]}, "number": {"dtype": "int64", "shape": []},
    }  # fmt: skip
    inputs = {"image": PICTURES[:2].tolist(), "number": [3, 4]}
    body = {"seed": 5, "first": 1, "count": 3, "steps": 4, "inputs": inputs}
    found = server.post("/v1/models/mixed/images", body, Accept="application/octet-stream")
    known = Request(seed=5, first=1, count=3, steps=4, inputs=inputs).drawn(Host(mixed, mixed_card()))
    np.testing.assert_array_equal(np.load(io.BytesIO(found.body)), known)
    image = json.loads(server.post("/v1/models/mixed/images", body).body)["images"][0]
    assert (image["url"], image["command"]) == (None, None)  # neither can hold an array


def test_what_is_no_image_comes_as_an_array(server):
    body = {"count": 2, "steps": 4, "inputs": {"shift": 0.25}}
    found = server.post("/v1/models/sigma/images", body, Accept="application/octet-stream")
    known = Request(count=2, steps=4, inputs={"shift": 0.25}).drawn(Host(x0_of_sigma, sigma_card(inputs=SHIFT)))
    np.testing.assert_array_equal(np.load(io.BytesIO(found.body)), known)
    assert "npy" in json.loads(server.post("/v1/models/sigma/images", body).body)["images"][0]
    refused = server.post("/v1/models/sigma/images", body, Accept="application/zip")
    assert "which is no picture; ask for npy" in server.error(refused)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "the model needs input 'image'"),
        ({"image": 0, "number": 1, "mask": 1}, "the model has no input 'mask' to be given; they are image, number"),
        ({"image": [1, 2], "number": 1}, "input 'image' is [2], but must be"),
        ({"image": 0, "number": 1.5}, "input 'number' must be of integers"),
        ({"image": "x", "number": 1}, "must be of finite numbers"),
    ],
)
def test_conditions_that_do_not_fit_are_refused(server, inputs, words):
    found = server.post("/v1/models/mixed/images", {"steps": 3, "inputs": inputs})
    assert found.status == 422
    assert words in server.error(found)
    assert server.get("/v1/models/mixed/images/1/1.png?steps=3").status == 422  # a URL cannot hold them


def test_the_inference_protocol_takes_conditions_as_tensors(server):
    metadata = json.loads(server.get("/v2/models/mixed").body)["inputs"]
    assert [(tensor["name"], tensor["datatype"], tensor["shape"]) for tensor in metadata[2:]] == [
        ("image", "FP32", [-1, 1, 4, 6]), ("number", "INT64", [-1]),
    ]  # fmt: skip
    tensors = [
        {"name": "seed", "datatype": "UINT64", "shape": [1], "data": [5]},
        {"name": "sample", "datatype": "UINT64", "shape": [2], "data": [8, 3]},
        {"name": "image", "datatype": "FP32", "shape": [2, 1, 4, 6], "data": PICTURES[:2].tolist()},
        {"name": "number", "datatype": "INT64", "shape": [1], "data": [4]},
    ]
    answer = json.loads(server.post("/v2/models/mixed/infer", {"inputs": tensors, "parameters": {"steps": 4}}).body)
    found = np.array(answer["outputs"][0]["data"], np.float32).reshape(2, 1, 4, 6)
    for place, sample in enumerate((8, 3)):
        inputs = {"image": PICTURES[place], "number": 4}
        known = Request(seed=5, first=sample, count=1, steps=4, inputs=inputs).drawn(Host(mixed, mixed_card()))
        np.testing.assert_array_equal(found[place], known[0])
    tensors[2] |= {"shape": [3, 1, 4, 6], "data": PICTURES[:3].tolist()}
    refused = server.post("/v2/models/mixed/infer", {"inputs": tensors})
    assert "image must have one entry, or 2, not 3" in server.error(refused)


def form_of(parts):
    """A multipart body and its headers; a part is text, or the bytes of a file."""
    lines = []
    for name, value in parts:
        file = '; filename="x"' if isinstance(value, bytes) else ""
        lines.append(f'--BOUNDARY\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode())
        lines.append((value if isinstance(value, bytes) else value.encode()) + b"\r\n")
    return b"".join(lines) + b"--BOUNDARY--\r\n", {"Content_Type": "multipart/form-data; boundary=BOUNDARY"}


def as_file(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def as_picture(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_a_form_holds_the_request_and_files(server):
    request = json.dumps({"seed": 5, "count": 3, "steps": 4})
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    for name, image in (("npy", PICTURES[:2]), ("picture", pixels[None].astype(np.float32) / np.float32(127.5) - 1)):
        file = as_picture(pixels) if name == "picture" else as_file(image)
        body, headers = form_of([("request", request), ("inputs.image", file), ("inputs.number", "3")])
        found = server.post("/v1/models/mixed/images", body, Accept="application/octet-stream", **headers)
        assert found.status == 200, found.body
        known = Request(seed=5, count=3, steps=4, inputs={"image": image, "number": 3}).drawn(Host(mixed, mixed_card()))
        np.testing.assert_array_equal(np.load(io.BytesIO(found.body)), known)


def test_a_picture_of_another_size_is_resized_if_the_form_says_so(server):
    parts = [("inputs.image", as_picture(np.zeros((8, 12), np.uint8))), ("inputs.number", "3")]
    body, headers = form_of(parts)
    found = server.post("/v1/models/mixed/images", body, **headers)
    assert (found.status, server.error(found)) == (
        422, "inputs.image is 12 x 8 but the model draws 6 x 4; resize it first",
    )  # fmt: skip
    body, headers = form_of([*parts, ("resize", "1"), ("request", '{"steps": 2}')])
    assert server.post("/v1/models/mixed/images", body, **headers).status == 200


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([("request", "{")], "the body cannot be read"),
        ([("request", "[]")], "the body must be a JSON object"),
        ([("request", "{}"), ("request", "{}")], "part 'request' is there twice"),
        ([("image", b"x")], "there is no part 'image'"),
        ([("inputs.image", "much")], "inputs.image must be a number or a file, not 'much'"),
        ([("inputs.image", b"x")], "inputs.image"),
        ([("inputs.image", as_file(PICTURES)[:100])], "inputs.image"),
        ([("inputs.other", "1")], "the model has no input 'other'"),
        ([("request", '{"inputs": {"number": 1}}'), ("inputs.number", "1")], "input 'number' is given twice"),
        ([("inputs.number", "1")] * 65, "the form cannot be read"),
    ],
)
def test_a_form_that_cannot_be_drawn_is_refused_in_a_sentence(server, parts, words):
    body, headers = form_of(parts)
    found = server.post("/v1/models/mixed/images", body, **headers)
    assert found.status == 422
    assert words in server.error(found)
    assert "/tmp" not in server.error(found)


def test_a_form_that_is_cut_is_refused(server):
    body, headers = form_of(
        [("inputs.image", as_file(PICTURES[0])), ("inputs.number", "3"), ("request", '{"steps": 2}')]
    )
    for cut in (b"", body[:-6], body[: body.index(b"\r\n--BOUNDARY", 2)]):
        found = server.post("/v1/models/mixed/images", cut, **headers)
        assert (found.status, server.error(found)) == (422, "the form is incomplete: its closing boundary is missing")
    quoted = {"Content_Type": 'multipart/form-data; charset=utf-8; boundary="BOUNDARY"'}
    assert server.post("/v1/models/mixed/images", body + b"epilogue", **quoted).status == 200


def test_a_broken_form_is_refused(server):
    for body, kind in ((b"nothing", "multipart/form-data; boundary=B"), (b"--B\r\n", "multipart/form-data")):
        found = server.post("/v1/models/mixed/images", body, Content_Type=kind)
        assert found.status == 422, found.body
