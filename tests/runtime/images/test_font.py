"""The words of a picture are drawn with every Pillow that `pyproject.toml` allows."""

import pytest
from PIL import ImageFont

from ddpm_rt.images.font import font


def test_a_larger_size_gives_larger_letters():
    assert font(24).getbbox("error")[3] > font(12).getbbox("error")[3]


def test_pillow_10_0_draws_with_its_only_size(monkeypatch):
    only = ImageFont.load_default()
    monkeypatch.setattr(ImageFont, "load_default", lambda: only)
    with pytest.raises(TypeError):
        ImageFont.load_default(14)
    assert font(14) is only
