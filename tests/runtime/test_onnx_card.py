"""The card in the bytes of an ONNX file, read without ONNX Runtime."""

import pytest
from gaussian_model import gaussian_card
from plan_files import write_plan

from ddpm_rt import DdpmRtError
from ddpm_rt.api import read_card
from ddpm_rt.artifacts.onnx_card import read_onnx_card
from ddpm_rt.engines.ort_cpu import OrtDenoiser
from ddpm_rt.models import bundled_model


def test_a_file_that_cannot_be_read_is_a_one_line_error(gaussian, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("ddpm_rt.artifacts.bounded_read.os.open", refused)  # root can read every file
    with pytest.raises(DdpmRtError, match="cannot be read: Permission denied"):
        read_onnx_card(gaussian)


def test_a_card_is_read_from_the_bytes_of_an_onnx_file(gaussian, tmp_path):
    write_plan(tmp_path / "unet.plan", gaussian_card())
    for path in (gaussian, bundled_model()):
        assert read_onnx_card(path) == OrtDenoiser(path).card == read_card(path)
    assert read_card(tmp_path / "unet.plan") == gaussian_card()


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x08\x3a\xff\xff\xff\x7f", b"\xff" * 30, b"\x0b" * 9])
def test_a_file_that_is_not_onnx_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(DdpmRtError, match="bad.onnx is not a whole ONNX model"):
        read_onnx_card(path)


def test_a_file_cut_anywhere_is_refused(gaussian, tmp_path):
    content, path = gaussian.read_bytes(), tmp_path / "cut.onnx"
    for size in range(1, len(content), 97):
        path.write_bytes(content[:size])
        with pytest.raises(DdpmRtError, match="cut.onnx"):
            read_onnx_card(path)
