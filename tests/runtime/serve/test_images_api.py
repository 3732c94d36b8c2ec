"""`/v1`: the pictures of the command line under URLs, and the same in archives, arrays, JSON and event streams."""

import base64
import io
import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from device_loops import Host
from gaussian_model import conditional_card, gaussian_card
from PIL import Image
from served import GatedEngine, Server
from toy_engine import eps_of_label

from ddpm_rt import Request
from ddpm_rt.images.output import Output
from ddpm_rt.images.write import to_pixels

SHA256 = "ab" * 32
PINNED = f"/v1/models/toy@{SHA256[:16]}"
FIVE = "sampler=ddim&steps=5"

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")


@pytest.fixture(scope="module")
def server():
    with Server({"toy": Host(), "classes": Host(eps_of_label, conditional_card())}, sha256=SHA256) as running:
        yield running


def events(response):
    """The server-sent events of a response."""
    found = []
    for text in response.body.decode().removesuffix("\n\n").split("\n\n"):
        name, data = text.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_a_png_is_the_file_that_the_command_line_writes_into_a_folder(server, tmp_path):
    request = Request(sampler="dpm++", steps=6, seed=2**63 + 1, first=2**40, count=1)
    bound = request.bind(Host().card)
    Output(tmp_path, bound, SHA256).draw(Host(), request.samples, lambda: None)
    found = server.get(f"/v1/models/toy/images/{2**63 + 1}/{2**40}.png?sampler=dpm%2B%2B&steps=6")
    assert (found.status, found.headers["Content-Type"]) == (200, "image/png")
    assert found.body == (tmp_path / f"{2**40}.png").read_bytes()


def test_an_npy_is_the_array(server):
    found = server.get("/v1/models/classes/images/3/11.npy?steps=4&sampler=ddpm&label=2&guidance=2.5")
    array = np.load(io.BytesIO(found.body))
    known = Request(sampler="ddpm", steps=4, seed=3, first=11, count=1, label=2, guidance=2.5)
    np.testing.assert_array_equal(array, known.drawn(Host(eps_of_label, conditional_card()))[0])


def test_a_url_that_pins_model_and_sampler_is_cached_for_ever_and_others_are_asked_again(server):
    for path, age in (
        (f"{PINNED}/images/7/1.png?{FIVE}", "public, max-age=31536000, immutable"),
        (f"{PINNED}/images/7/1.png?steps=5", "public, no-cache"),
        (f"/v1/models/toy/images/7/1.png?{FIVE}", "public, no-cache"),
    ):
        found = server.get(path)
        assert found.headers["Cache-Control"] == age
        assert found.headers["Content-Location"] == f"{PINNED}/images/7/1.png?{FIVE}"
    assert server.get(found.headers["Content-Location"]).body == found.body


def test_what_a_client_has_is_not_drawn_again():
    engine = GatedEngine(is_open=True)
    with Server({"toy": engine}, sha256=SHA256) as server:
        path = f"{PINNED}/images/7/1.png?{FIVE}"
        etag = server.get(path).headers["ETag"]
        calls = len(engine.calls)
        for tags in (etag, f'"other", {etag}', etag.removeprefix("W/"), "*"):
            found = server.get(path, If_None_Match=tags)
            assert (found.status, found.body, found.headers["ETag"]) == (304, b"", etag)
        head = server.ask("HEAD", path)
        assert (head.status, head.headers["ETag"]) == (200, etag)
        assert len(engine.calls) == calls
        assert server.get(path, If_None_Match='"other"').status == 200


def test_the_tag_changes_with_everything_that_changes_the_picture(server):
    paths = [
        *(f"/v1/models/classes/images/{seed}/{sample}.{kind}?steps=4&label={label}"
          for seed, sample, kind, label in ((1, 2, "png", 0), (2, 2, "png", 0), (1, 3, "png", 0), (1, 2, "npy", 0),
                                            (1, 2, "png", 1))),
        "/v1/models/classes/images/1/2.png?steps=5&label=0",
        "/v1/models/classes/images/1/2.png?steps=4&label=0&guidance=2",
        "/v1/models/classes/images/1/2.png?steps=4&label=0&eta=0.5",
    ]  # fmt: skip
    tags = {server.ask("HEAD", path).headers["ETag"] for path in paths}
    assert len(tags) == len(paths)
    assert server.ask("HEAD", "/v1/models/classes/images/1/2.png?label=0&eta=0&steps=4").headers["ETag"] in tags


def test_many_samples_come_as_json_zip_or_npy(server):
    body = {"seed": str(2**63), "first": 5, "count": 6, "steps": 4, "sampler": "ddpm", "label": [2, 0]}
    path = "/v1/models/classes/images"
    known = Request(sampler="ddpm", steps=4, seed=2**63, first=5, count=6, label=[2, 0])
    images = known.drawn(Host(eps_of_label, conditional_card()))
    npy = server.post(path, body, Accept="application/octet-stream")
    np.testing.assert_array_equal(np.load(io.BytesIO(npy.body)), images)
    answer = json.loads(server.post(path, body).body)
    archive = zipfile.ZipFile(io.BytesIO(server.post(path, body, Accept="application/zip").body))
    assert archive.namelist() == [f"{sample:06d}.png" for sample in range(5, 11)]
    for place, facts in enumerate(answer["images"]):
        png = base64.b64decode(facts["png"])
        assert (facts["seed"], facts["sample"], facts["label"]) == (str(2**63), str(5 + place), [0, 2][place % 2])
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), to_pixels(images)[place][..., 0])
        assert archive.read(f"{5 + place:06d}.png") == png
        alone = server.get(facts["url"])
        # the text differs: the URL has one label, the request a list
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(alone.body))), to_pixels(images)[place][..., 0])


def test_equal_requests_give_equal_bytes(server):
    body = {"seed": 1, "count": 3, "steps": 3}
    for accept in ("application/zip", "application/octet-stream", "application/json"):
        first, second = (server.post("/v1/models/toy/images", body, Accept=accept).body for _ in range(2))
        assert first == second


def test_a_stream_has_the_steps_the_pictures_and_an_end(server):
    body = {"seed": 7, "count": 2, "steps": 10, "previews": 5}
    found = events(server.post("/v1/models/toy/images", body, Accept="text/event-stream"))
    known = json.loads(server.post("/v1/models/toy/images", body).body)["images"]
    steps = [facts for name, facts in found if name == "step"]
    assert sorted((facts["sample"], facts["row"]) for facts in steps) == [(s, r) for s in "01" for r in (1, 3, 5, 7, 9)]
    assert {facts["t"] for facts in steps if facts["row"] == 1} == {899}
    bound = Request(seed=7, count=2, steps=10).bind(Host().card)
    for step in bound.trajectory(Host(), range(2)):
        for facts in steps:
            if facts["row"] == step.row:
                preview = np.asarray(Image.open(io.BytesIO(base64.b64decode(facts["png"]))))
                np.testing.assert_array_equal(preview, to_pixels(step.x0)[int(facts["sample"])][..., 0])
    assert [facts for name, facts in found if name == "image"] == known
    assert found[-1] == ("done", {})


def test_a_stream_without_previews_has_progress_alone(server):
    found = events(server.post("/v1/models/toy/images", {"steps": 50, "previews": 0}, Accept="text/event-stream"))
    steps = [facts for name, facts in found if name == "step"]
    assert len(steps) == 20
    assert all("png" not in facts for facts in steps)
    assert steps[-1]["row"] == 49


def test_a_drawing_that_fails_is_a_sentence_in_every_format():
    engine = GatedEngine(is_open=True)
    engine.error = RuntimeError("no luck")
    with Server({"toy": engine}) as server:
        answer = server.post("/v1/models/toy/images", {"steps": 3})
        assert answer.status == 500
        assert server.error(answer).startswith("the engine failed: RuntimeError: no luck")
        found = events(server.post("/v1/models/toy/images", {"steps": 3}, Accept="text/event-stream"))
        assert found == [("error", {"error": server.error(answer)})]
        assert server.get("/v1/models/toy/images/1/1.png?steps=3").status == 500


def test_the_models_say_what_can_be_asked_for(server):
    facts = {model["name"]: model for model in json.loads(server.get("/v1/models").body)["models"]}
    assert list(facts) == ["toy", "classes"]
    assert facts["toy"]["labels"] is None
    assert facts["classes"]["labels"] == [0, 1, 2]
    assert facts["classes"]["null_class"] == 3
    assert facts["toy"]["pinned"] == f"toy@{SHA256[:16]}"
    assert json.loads(server.get(f"/v1/models/toy@{SHA256}").body) == facts["toy"]


def test_a_model_of_many_channels_has_arrays_and_no_pictures():
    with Server({"toy": Host(card=gaussian_card(image_shape=(2, 4, 6)))}) as server:
        refused = server.get("/v1/models/toy/images/1/1.png?steps=2")
        assert (refused.status, server.error(refused)) == (
            422, "the model draws 2 channels, which are no picture; ask for npy",
        )  # fmt: skip
        assert server.post("/v1/models/toy/images", {"steps": 2}, Accept="application/zip").status == 422
        (image,) = json.loads(server.post("/v1/models/toy/images", {"steps": 2}).body)["images"]
        known = Request(steps=2, count=1).drawn(Host(card=gaussian_card(image_shape=(2, 4, 6))))[0]
        np.testing.assert_array_equal(np.load(io.BytesIO(base64.b64decode(image["npy"]))), known)
        assert image["url"].split("?")[0].endswith("/0/0.npy")


@pytest.mark.slow
def test_the_command_line_of_a_picture_draws_its_pixels(gaussian, tmp_path):
    import ddpm_rt

    with ddpm_rt.open_denoiser(gaussian) as engine, Server({"gaussian": engine}) as server:
        body = {"seed": 5, "first": 9, "count": 1, "steps": 6, "sampler": "ddim", "eta": 0.5, "spacing": "linspace"}
        (image,) = json.loads(server.post("/v1/models/gaussian/images", body).body)["images"]
    program, *arguments = image["command"].split()
    assert program == "ddpm-rt"
    (tmp_path / "gaussian.onnx").symlink_to(gaussian)
    subprocess.run([sys.executable, "-m", "ddpm_rt", *arguments], cwd=tmp_path, check=True)
    drawn = np.asarray(Image.open(tmp_path / "000009.png"))
    np.testing.assert_array_equal(drawn, np.asarray(Image.open(io.BytesIO(base64.b64decode(image["png"])))))
