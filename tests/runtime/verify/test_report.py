"""The reports of a comparison: a page, a picture, JSON."""

import json
from html.parser import HTMLParser

import numpy as np
import pytest
from command import failed
from gaussian_model import gaussian_card, write_gaussian
from PIL import Image
from verify_command import verify

from ddpm_rt.verify.comparison import Comparison
from ddpm_rt.verify.png import grids


class Page(HTMLParser):
    """Counts tags, checks that they nest, and collects references."""

    VOID = {"meta", "img", "line", "polyline"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.sources = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href", "xlink:href", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("engine", ["right", "raised", "nan"])
@pytest.mark.parametrize("steps", [1, 10])
def test_the_page_is_complete_and_needs_no_other_file(engines, tmp_path, engine, steps):
    verify(engines[engine], "--engine-b", engines["right"], "--steps", steps, "--out", tmp_path / "x.html")
    text = (tmp_path / "x.html").read_text()
    page = Page(text)
    assert page.open == []
    assert page.tags.count("svg") == 1
    assert page.tags.count("img") == 3
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert "http" not in text
    assert "@import" not in text
    assert "url(" not in text
    assert "prefers-color-scheme: dark" in text


def test_the_picture_shows_both_curves_and_the_verdict(engines, tmp_path):
    verify(engines["raised"], "--engine-b", engines["right"], "--sampler", "ddim", "--png", tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.format == "PNG"
        assert picture.text["ddpm-rt.verdict"].startswith("different: ")
        colours = {colour for _, colour in picture.getcolors(1 << 16)}
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)} <= colours


def test_the_difference_is_shown_ten_times_around_grey():
    ours = np.full((1, 1, 2, 2), 0.5, np.float32)
    shown = grids(Comparison((), (), ours, ours - np.array([[0, 0.02], [-0.02, 0.2]], np.float32)))
    tops = shown["difference x10"][::150, ::150, 0]
    assert tops.tolist() == [[128, 153], [102, 255]]  # (10 d + 1) 127.5: rounded, clipped


def test_colour_images_are_shown_in_colour(tmp_path):
    card = gaussian_card(image_shape=(3, 8, 8))
    path = write_gaussian(tmp_path / "rgb.onnx", card=card)
    files = ["--out", tmp_path / "x.html", "--png", tmp_path / "x.png"]
    assert verify(path, "--engine-b", path, "--sampler", "ddim", "--steps", 3, *files).exit_code == 0
    pixels = np.asarray(Image.open(tmp_path / "x.png"))
    assert (pixels[-200:].max(axis=2) != pixels[-200:].min(axis=2)).any()


def test_a_failed_write_leaves_no_file(engines, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ddpm_rt.artifacts.atomic_write.os.replace", full)
    result = verify(engines["right"], "--engine-b", engines["right"], "--steps", 2, "--out", tmp_path / "x.html")
    failed(result, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_the_json_has_the_keys_that_the_manual_promises(engines, tmp_path):
    verify(engines["raised"], "--engine-b", engines["right"], "--steps", 3, "--json", tmp_path / "x.json")
    found = json.loads((tmp_path / "x.json").read_text())
    assert list(found) == [
        *("format", "ok", "verdict", "engine", "reference", "sampler", "tolerance"),
        *("first_over", "non_finite", "psnr", "steps"),
    ]
    assert found["format"] == 1
    assert list(found["engine"]) == ["name", "precision", "weights_sha256", "card_sha256"]
    assert list(found["steps"][0]) == ["row", "t", "out_max", "out_rms", "x_max", "x_rms"]
    assert found["sampler"] == {"name": "ddpm", "steps": 3, "eta": None, "seed": 0, "first": 0, "count": 4}
