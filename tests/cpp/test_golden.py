"""Python still reproduces the files in tests/golden, with which other languages are tested."""

import json

import numpy as np
import pytest
from repository import ROOT, load_script

from ddpm_rt import ModelCard
from ddpm_rt.artifacts.steps_file import read_steps, write_steps
from ddpm_rt.noise import normal
from ddpm_rt.requests.sampler_options import SamplerOptions
from ddpm_rt.samplers.table import StepTable

GOLDEN = ROOT / "tests" / "golden"


@pytest.fixture(scope="module")
def golden():
    return load_script("make_golden")


def load(path):
    return json.loads((GOLDEN / path).read_text())


def test_philox_gives_the_known_answers_of_random123():
    # kat_vectors of Random123: philox 4x32, 10 rounds
    published = [
        "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
        "408f276d 41c83b0e a20bc7c6 6d5451fd",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ]
    found = [" ".join(f"{word:08x}" for word in known["words"]) for known in load("noise.json")["words"]]
    assert found == published


def test_normals_have_the_golden_bits():
    for known in load("noise.json")["normals"]:
        drawn = normal(known["seed"], [known["sample"]], known["step"], len(known["bits"]))
        assert drawn[0].view(np.uint32).tolist() == known["bits"]


@pytest.fixture(params=["", "format2"])
def kinds(request, golden):
    """The folder of a format, and its chains."""
    return GOLDEN / request.param, golden.CHAINS_2 if request.param else golden.CHAINS


def test_every_golden_table_ends_with_the_golden_bits(golden, kinds):
    folder, known = kinds
    chains = {chain["name"]: chain for chain in load(folder / "chains.json")["chains"]}
    assert chains.keys() == known.keys()
    for name, (changes, _) in known.items():
        card = golden.golden_card(**changes)
        x, x0 = golden.run(card, read_steps(folder / f"{name}.steps.json", card))
        assert golden.bits(x) == chains[name]["x"], name
        assert golden.bits(x0) == chains[name]["x0"], name


def test_edits_end_with_the_golden_bits(golden):
    known = load("edits.json")
    assert [tuple(one.values())[:5] for one in known] == golden.EDITS
    for one, edit in zip(known, golden.EDITS, strict=True):
        assert golden.bits(golden.edited(*edit)) == one["x"], edit


def test_steps_files_have_the_golden_form(golden, kinds, tmp_path):
    folder, known = kinds
    for name, (changes, recipe) in known.items():
        card = golden.golden_card(**changes)
        write_steps(tmp_path / "now", SamplerOptions(**{"steps": golden.STEPS} | recipe).compile(card), card)
        now, then = json.loads((tmp_path / "now").read_text()), load(folder / f"{name}.steps.json")
        for key in StepTable._fields:  # the logarithms of another libm may differ in the last of 53 bits
            np.testing.assert_allclose(now.pop(key), then.pop(key), rtol=1e-12, atol=1e-12, err_msg=f"{name} {key}")
        assert now == then


def test_cards_of_both_formats_are_still_read_and_written_alike(golden):
    files = {GOLDEN / "card.json": {}}
    files |= {GOLDEN / "format2" / f"{name}.card.json": changes for name, (changes, _) in golden.CHAINS_2.items()}
    for path, changes in files.items():
        card = ModelCard.from_json(path.read_text())
        assert card == golden.golden_card(**changes)
        assert card.to_json() == path.read_text()
        assert load(path)["format"] == (2 if changes else 1)


@pytest.mark.slow
def test_python_reads_and_refuses_what_the_verdicts_say():
    script, known = load_script("make_verdicts"), load("verdicts.json")
    assert script.all_verdicts() == known
