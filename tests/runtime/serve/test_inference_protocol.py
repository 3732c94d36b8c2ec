"""The Open Inference Protocol v2, with the client that Triton's users have and with bytes by hand."""

import json

import numpy as np
import pytest
from device_loops import Host
from gaussian_model import conditional_card
from served import GatedEngine, Server
from toy_engine import eps_of_label

from ddpm_rt import Request

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

INFER = "/v2/models/classes/infer"


@pytest.fixture(scope="module")
def server():
    with Server({"toy": Host(), "classes": Host(eps_of_label, conditional_card())}) as running:
        yield running


@pytest.fixture
def client(server):
    http = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")
    with http.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        yield client


def tensor(name, values, kind, *, binary=True):
    import tritonclient.http as http

    array = np.array(values, {"UINT64": np.uint64, "INT64": np.int64}[kind])
    made = http.InferInput(name, list(array.shape), kind)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def test_tritonclient_learns_what_there_is(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("toy")
    assert client.is_model_ready("toy", "1")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    metadata = client.get_model_metadata("classes")
    assert [tensor["name"] for tensor in metadata["inputs"]] == ["seed", "sample", "label"]
    assert metadata["outputs"] == [{"name": "images", "datatype": "FP32", "shape": [-1, 1, 4, 6]}]
    assert [tensor["name"] for tensor in client.get_model_metadata("toy", "1")["inputs"]] == ["seed", "sample"]


@pytest.mark.parametrize("inputs_are_bytes", [True, False])
@pytest.mark.parametrize("output_is_bytes", [True, False])
def test_tritonclient_gets_the_images_of_the_command_line(client, inputs_are_bytes, output_is_bytes):
    import tritonclient.http as http

    seed, samples = 2**63 + 1, [3, 2**50, 4]
    inputs = [tensor("seed", [seed], "UINT64", binary=inputs_are_bytes),
              tensor("sample", samples, "UINT64", binary=inputs_are_bytes)]  # fmt: skip
    outputs = [http.InferRequestedOutput("images", binary_data=output_is_bytes)]
    parameters = {"sampler": "ddpm", "steps": 5}
    result = client.infer("toy", inputs, outputs=outputs, parameters=parameters, request_id="mine")
    assert result.get_response()["id"] == "mine"
    for place, sample in enumerate(samples):
        known = Request(sampler="ddpm", steps=5, seed=seed, first=sample, count=1).drawn(Host())
        np.testing.assert_array_equal(result.as_numpy("images")[place], known[0])


def test_every_sample_may_have_a_seed_and_a_label_of_its_own(client):
    inputs = [tensor("seed", [1, 2, 3], "UINT64"), tensor("sample", [7, 7, 8], "UINT64"),
              tensor("label", [2, 0, 1], "INT64")]  # fmt: skip
    images = client.infer("classes", inputs, parameters={"steps": 4, "guidance": 2.0}).as_numpy("images")
    engine = Host(eps_of_label, conditional_card())
    for place, (seed, sample, label) in enumerate(zip([1, 2, 3], [7, 7, 8], [2, 0, 1], strict=True)):
        known = Request(steps=4, seed=seed, first=sample, count=1, label=label, guidance=2.0).drawn(engine)
        np.testing.assert_array_equal(images[place], known[0])


def test_without_a_label_a_sample_has_the_class_of_its_number(client):
    inputs = [tensor("seed", [1], "UINT64"), tensor("sample", [0, 1, 5], "UINT64")]
    images = client.infer("classes", inputs, parameters={"steps": 4}).as_numpy("images")
    known = Request(steps=4, seed=1, count=6).drawn(Host(eps_of_label, conditional_card()))
    np.testing.assert_array_equal(images, known[[0, 1, 5]])


def test_tritonclient_shows_our_sentence(client):
    from tritonclient.utils import InferenceServerException

    with pytest.raises(InferenceServerException, match="the input sample is missing"):
        client.infer("toy", [tensor("seed", [1], "UINT64")])


SEED = {"name": "seed", "datatype": "UINT64", "shape": [1], "data": [1]}
SAMPLE = {"name": "sample", "datatype": "UINT64", "shape": [2], "data": [1, 2]}
LABEL = {"name": "label", "datatype": "INT64", "shape": [1], "data": [1]}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "inputs must be a list of tensors"),
        ({"inputs": [1]}, "inputs must be a list of tensors"),
        ({"inputs": [SEED]}, "the input sample is missing"),
        ({"inputs": [SEED, SEED]}, "every input needs a name of its own, not 'seed'"),
        ({"inputs": [SEED, SAMPLE, {**LABEL, "name": "mask"}]}, "model classes has no input 'mask'"),
        ({"inputs": [SEED, {**SAMPLE, "data": [1]}]}, "input sample has 1 numbers, but its shape needs 2"),
        ({"inputs": [SEED, {**SAMPLE, "data": [1, -2]}]}, "input sample holds a number that its datatype cannot hold"),
        ({"inputs": [SEED, {**SAMPLE, "datatype": "INT64", "data": [1, -2]}]}, "sample must lie in [0, "),
        ({"inputs": [SEED, {**SAMPLE, "data": [1, "2"]}]}, "must hold numbers of its datatype, not '2'"),
        ({"inputs": [SEED, {**SAMPLE, "data": [1, True]}]}, "must hold numbers of its datatype, not True"),
        ({"inputs": [SEED, {**SAMPLE, "datatype": "BYTES"}]}, "must have one of the datatypes UINT8"),
        ({"inputs": [SEED, {**SAMPLE, "datatype": "FP32"}]}, "sample must be a list of integers, not float32 [2]"),
        ({"inputs": [SEED, {**SAMPLE, "shape": [1 << 20, 1 << 20]}]}, "has 2 numbers, but its shape needs"),
        ({"inputs": [SEED, {**SAMPLE, "shape": "2"}]}, "must have a shape, a list of sizes"),
        ({"inputs": [{**SEED, "shape": [3], "data": [1, 2, 3]}, SAMPLE]}, "seed must have one number, or 2, not 3"),
        ({"inputs": [SEED, {**SAMPLE, "shape": [17], "data": list(range(17))}]}, "must be at most 16, not 17"),
        ({"inputs": [SEED, {**SAMPLE, "shape": [0], "data": []}]}, "the number of samples must be at least 1"),
        ({"inputs": [SEED, SAMPLE, {**LABEL, "data": [9]}]}, "label 9 is none of the model's"),
        ({"inputs": [SEED, SAMPLE], "parameters": {"label": 1}}, "label is an input, not a parameter"),
        ({"inputs": [SEED, SAMPLE], "parameters": {"steps": 0}}, "steps must be at least 1"),
        ({"inputs": [SEED, SAMPLE], "parameters": 1}, "parameters must be an object"),
        ({"inputs": [SEED, SAMPLE], "outputs": [{"name": "x"}]}, "the only output is images"),
        ({"inputs": [SEED, SAMPLE], "outputs": 1}, "outputs must be a list"),
    ],
)
def test_an_infer_request_that_cannot_be_drawn_is_refused_in_a_sentence(server, fields, words):
    found = server.post(INFER, fields)
    assert found.status == 422
    assert words in server.error(found)


def infer_bytes(server, entries, content, length=None):
    head = json.dumps({"inputs": entries}).encode()
    headers = {"Inference_Header_Content_Length": str(len(head)) if length is None else length}
    return server.post(INFER, head + content, Content_Type="application/octet-stream", **headers)


def as_bytes(entry, size):
    return {key: value for key, value in entry.items() if key != "data"} | {"parameters": {"binary_data_size": size}}


@pytest.mark.parametrize(
    ("entries", "content", "length", "words"),
    [
        ([as_bytes(SEED, 8)], b"1234", None, "input seed has 8 bytes, more than the body"),
        ([as_bytes(SEED, 4)], b"1234", None, "input seed has 4 bytes, but its shape needs 8"),
        ([as_bytes(SEED, -1)], b"1234", None, "input seed has -1 bytes"),
        ([as_bytes(SEED, 8), as_bytes(SAMPLE, 16)], b"8" * 25, None, "1 bytes of the body belong to no input"),
        (
            [as_bytes(SEED, 8)],
            b"12345678",
            "999999",
            "Inference-Header-Content-Length must be a length within the body",
        ),
        ([as_bytes(SEED, 8)], b"12345678", "-1", "Inference-Header-Content-Length must be a length"),
        ([as_bytes(SEED, 8)], b"12345678", "3", "the body cannot be read"),
    ],
)
def test_bytes_that_are_no_tensors_are_refused(server, entries, content, length, words):
    found = infer_bytes(server, entries, content, length)
    assert found.status == 422
    assert words in server.error(found)


def test_bytes_are_little_endian_and_come_back_as_bytes(server):
    content = np.array([5], "<u8").tobytes() + np.array([1, 2**33], "<u8").tobytes()
    found = infer_bytes(server, [as_bytes(SEED, 8), as_bytes(SAMPLE, 16)], content)
    length = int(found.headers["Inference-Header-Content-Length"])
    facts = json.loads(found.body[:length])["outputs"][0]
    images = np.frombuffer(found.body[length:], "<f4").reshape(facts["shape"])
    engine = Host(eps_of_label, conditional_card())
    for place, sample in enumerate((1, 2**33)):
        np.testing.assert_array_equal(images[place], Request(seed=5, first=sample, count=1).drawn(engine)[0])


def test_probes_tell_of_an_engine_that_is_lost_and_of_one_that_is_back():
    engine = GatedEngine(is_open=True)
    engine.error = RuntimeError("the GPU is gone")
    with Server({"toy": engine}) as server:
        for _ in range(3):
            assert server.get("/v2/health/live").status == server.get("/v2/health/ready").status == 200
            assert server.get("/v1/models/toy/images/1/1.npy?steps=2").status == 500
        for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/toy/ready"):
            assert server.get(path).status == 503
        engine.error = None
        assert server.get("/v1/models/toy/images/1/1.npy?steps=2").status == 200
        assert server.get("/v2/health/live").status == server.get("/v2/health/ready").status == 200


def test_a_version_that_there_is_not_is_not_found(server):
    found = server.get("/v2/models/toy/versions/2")
    assert (found.status, server.error(found)) == (404, "model toy has one version, 1")
