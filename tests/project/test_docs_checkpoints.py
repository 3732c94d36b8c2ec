import re

import numpy as np
import pytest
import torch
from repository import ROOT

from ddpm_export.sources.facts import CHOICES, Facts, read_facts
from ddpm_rt.engines.ort_cpu import open_session

PAGE = (ROOT / "docs" / "checkpoints.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.slow
def test_the_module_of_the_page_is_exported_with_labels_and_twice_its_channels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    names = {}
    exec(code, names)
    x, t, y = np.ones((3, 3, 32, 32), np.float32), np.array([0, 500, 999]), np.array([0, 5, 10])
    found = open_session(tmp_path / "mine.onnx").run(None, {"x": x, "t": t, "y": y})[0]
    with torch.no_grad():
        expected = names["module"](*map(torch.from_numpy, (x, t, y))).numpy()
    assert found.shape == (3, 6, 32, 32)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)  # float32, outputs of size one


@pytest.mark.parametrize("text", blocks("toml"))
def test_each_toml_of_the_page_can_be_read(tmp_path, text):
    (tmp_path / "facts.toml").write_text(text)
    facts = read_facts(tmp_path / "facts.toml")
    assert facts.prediction in CHOICES["prediction"]
    if "attention_order" in text:  # guided-diffusion, whose weights do not hold the betas
        assert len(facts.betas) == 1000
        assert facts.attention_order in CHOICES["attention_order"]


def test_every_key_of_the_toml_is_on_the_page():
    for key in Facts.__dataclass_fields__.keys() - {"path"}:
        assert f"`{key}`" in PAGE, key
