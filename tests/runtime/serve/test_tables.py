"""Tables under names: steps files, and the fitted tables that a model carries."""

import io
import json
import shutil

import numpy as np
import pytest
from served import Server

import ddpm_rt
from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.fitted_tables import embed
from ddpm_rt.artifacts.steps_file import write_steps
from ddpm_rt.requests.sampler_options import SamplerOptions

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")


@pytest.fixture
def files(gaussian, tmp_path):
    """A model that carries fitted tables of 3 and 5 calls, and a steps file for it."""
    model = tmp_path / "toy.onnx"
    shutil.copy(gaussian, model)
    with ddpm_rt.open_denoiser(model) as engine:
        for calls in (3, 5):
            embed(model, SamplerOptions(sampler="dpm++", steps=calls).compile(engine.card), engine.card)
        compiled = SamplerOptions(sampler="ddpm", steps=4).compile(engine.card)
        write_steps(tmp_path / "fast.4.steps.json", compiled, engine.card)
    return model, tmp_path / "fast.4.steps.json"


@pytest.fixture
def server(files):
    from ddpm_rt.serve.served_model import add_steps_files

    model, table = files
    with ddpm_rt.open_denoiser(model) as engine, Server({"toy": engine}) as running:
        add_steps_files([table], list(running.service.models.values()))
        yield running


def image(server, query):
    found = server.get(f"/v1/models/toy/images/7/2.npy?{query}")
    assert found.status == 200, found.body
    return np.load(io.BytesIO(found.body)), found


def test_a_table_draws_what_the_command_line_draws_by_it(server, files):
    model, table = files
    known = ddpm_rt.sample(model, steps_file=table, seed=7, first=2, count=1)[0]
    drawn, found = image(server, "table=fast.4")
    np.testing.assert_array_equal(drawn, known)
    assert "--steps-file fast.4.steps.json" in json.loads(
        server.post("/v1/models/toy/images", {"table": "fast.4"}).body
    )["images"][0]["command"]  # fmt: skip
    pinned = found.headers["Content-Location"]
    assert "table=fast.4@" in pinned
    again = server.get(pinned)
    assert (again.body, again.headers["ETag"]) == (found.body, found.headers["ETag"])
    assert "immutable" in again.headers["Cache-Control"]
    assert "immutable" not in found.headers["Cache-Control"]


def test_the_fitted_tables_of_a_model_have_names(server, files):
    for query, calls in (("table=fitted-3", 3), ("sampler=fitted&steps=3", 3), ("sampler=fitted", 5)):
        known = ddpm_rt.sample(files[0], sampler="fitted", steps=calls, seed=7, first=2, count=1)[0]
        np.testing.assert_array_equal(image(server, query)[0], known)
    facts = json.loads(server.get("/v1/models/toy").body)
    assert [(table["name"], table["steps"]) for table in facts["tables"]] == [
        ("fitted-3", 3), ("fitted-5", 5), ("fast.4", 4),
    ]  # fmt: skip
    body = json.loads(server.post("/v1/models/toy/images", {"table": "fitted-3"}).body)
    assert "--sampler fitted --steps 3" in body["images"][0]["command"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("table=none", "model toy has no table 'none'; its tables are fitted-3, fitted-5, fast.4"),
        ("table=fast.4@0123456789abcdef", "table fast.4 is another one now, fast.4@"),
        ("table=fast.4&steps=4", "the steps file decides the sampler; leave out steps"),
        ("sampler=fitted&steps=9", "model toy has no table 'fitted-9'"),
    ],
)
def test_other_tables_are_refused(server, query, words):
    found = server.get(f"/v1/models/toy/images/7/2.npy?{query}")
    assert found.status == 422
    assert words in server.error(found)


def test_a_steps_file_needs_a_name_of_its_own_and_its_model(server, files, tmp_path):
    from ddpm_rt.serve.served_model import add_steps_files

    models = list(server.service.models.values())
    with pytest.raises(ValueError, match="has two tables named fast.4"):
        add_steps_files([files[1]], models)
    odd = tmp_path / "a b.steps.json"
    shutil.copy(files[1], odd)
    with pytest.raises(ValueError, match="a table needs a name of letters"):
        add_steps_files([odd], models)
    with pytest.raises(DdpmRtError, match=r"none\.json"):
        add_steps_files([tmp_path / "none.json"], models)
