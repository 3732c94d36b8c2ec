"""scripts/contract_table.py: a cell is a figure or a reason, and a difference of one bit shows."""

import re
import shutil

import numpy as np
import pytest
from contract import measured
from contract.cpp_and_javascript_rows import _headers
from contract.golden import counts, golden_chains, same_in_numpy, same_when_fused, tally
from repository import ROOT, load_script


def test_a_cell_is_a_figure_or_the_reason_why_there_is_none():
    assert measured.cell(lambda: "12") == "12"
    assert measured.cell(measured.without("no GPU")) == "- (no GPU)"
    with pytest.raises(measured.Missing, match="not here"):
        measured.output_of(["sh", "-c", "echo not here >&2; exit 3"])
    with pytest.raises(measured.Missing, match="No such file"):
        measured.output_of(["/nowhere/program"])


def test_one_bit_shows_in_bits_and_in_the_hash():
    expected = np.linspace(-1, 1, 100, dtype=np.float32)
    other = expected.copy()
    other[7] = np.nextafter(other[7], np.float32(9))
    assert measured.same_bits(expected, expected) == "all equal"
    assert measured.same_bits(other, expected) == "1 of 100 differ"
    assert measured.distance(expected, expected) == "equal"
    assert measured.distance(other, expected).startswith("within ")


def test_inputs_of_the_exponential_have_both_signs_infinities_aside_and_no_nan():
    x = measured.exp_inputs()
    assert (len(x), np.isnan(x).any()) == (1 << 20, False)
    assert len(np.unique(np.frexp(x[np.isfinite(x)])[1])) > 250
    assert ((x < 0).any(), (x > 0).any()) == (True, True)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc on this machine")
def test_the_headers_in_c_have_the_bits_of_numpy(tmp_path):
    class Folder:
        folder = tmp_path

    noise, exponential = _headers(Folder(), "gcc", [])
    assert (noise(), exponential()) == ("all equal", "all equal")


def chain_of(number, name):
    return next(chain for chain in golden_chains(number) if name in chain.compiled.sampler)


def test_a_golden_chain_counts_only_with_every_bit():
    chain = chain_of(1, "euler-a")
    other = chain._replace(x=[chain.x[0] + 1, *chain.x[1:]])
    assert (same_in_numpy(chain), same_in_numpy(other)) == (True, False)
    assert tally(lambda chain: "ddim" in chain.compiled.sampler, 1) == f"4 of {counts()[1]}"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "name"), [(1, "lcm"), (2, "consistency")])
def test_a_fused_graph_ends_in_the_golden_bits_and_only_in_those(tmp_path, number, name):
    chain = chain_of(number, name)
    assert same_when_fused(tmp_path, chain)
    assert not same_when_fused(tmp_path, chain._replace(x=[chain.x[0] + 1, *chain.x[1:]]))


def test_the_committed_table_has_the_columns_of_the_script():
    lines = (ROOT / "benchmarks/contract.txt").read_text(encoding="utf-8").splitlines()
    header, first = lines[lines.index("") + 1 :][:2]
    assert tuple(re.split(r" {2,}", header.strip())) == measured.COLUMNS
    assert len(re.split(r" {2,}", first)) == 1 + len(measured.COLUMNS)


def test_columns_are_aligned():
    text = load_script("contract_table").as_text([["", "a"], ["long name", "b"]])
    assert text == "           a\nlong name  b"
