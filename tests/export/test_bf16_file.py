"""A bf16 file that the CPU cannot run: advice, the card, and damaged files."""

import onnx
import pytest
from click.testing import CliRunner

import ddpm_rt
from ddpm_rt import DdpmRtError, open_denoiser
from ddpm_rt.artifacts.onnx_card import find_onnx_card
from ddpm_rt.cli import main


@pytest.fixture
def bf16(exported, tmp_path):
    """A copy of the bf16 export, and the fp32 one."""
    path = tmp_path / "bf16.onnx"
    path.write_bytes(exported("bf16", False).read_bytes())
    return path, exported("fp32", True)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["sample", "verify", "steps"])
def test_a_bf16_file_that_the_cpu_cannot_run_comes_with_advice(bf16, tmp_path, verb):
    path, other = map(str, bf16)
    commands = {
        "sample": ["sample", "--engine", path, "--out", str(tmp_path / "x.png")],
        "verify": ["verify", other, "--engine-b", path],
        "steps": ["steps", path, "-o", str(tmp_path / "x.steps.json")],
    }
    result = CliRunner().invoke(main, commands[verb])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {path} is in bf16")
    assert "--precision fp16 or fp32" in result.stderr
    assert result.stderr.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["bf16.onnx"]


@pytest.mark.slow
def test_a_bf16_file_is_described_without_running_it(bf16):
    result = CliRunner().invoke(main, ["inspect", str(bf16[0])])
    assert result.exit_code == 0, result.output
    assert "fp32_max_abs_error" in result.stdout
    assert "cannot open bf16" in result.stdout


@pytest.mark.slow
def test_a_truncated_bf16_file_is_reported_as_damaged(bf16):
    path, _ = bf16
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DdpmRtError, match="not a whole ONNX model"):
        open_denoiser(path)


@pytest.mark.slow
def test_the_card_read_from_bytes_equals_the_one_that_onnx_reads(exported, tmp_path):
    for kind in (("fp32", True), ("fp16", False), ("bf16", False)):
        path = exported(*kind)
        entries = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        assert find_onnx_card(path) == ddpm_rt.ModelCard.from_json(entries["ddpm_rt.card"])
    without = onnx.load(path)
    del without.metadata_props[:]
    for content in (without.SerializeToString(), b"", b"not a model", bytes(range(256)), b"\xff" * 100):
        (tmp_path / "other.onnx").write_bytes(content)
        assert find_onnx_card(tmp_path / "other.onnx") is None
