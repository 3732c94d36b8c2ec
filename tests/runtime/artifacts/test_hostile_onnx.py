"""The card of an ONNX file is found in its bytes; damaged and hostile files are refused."""

import pytest
from gaussian_model import gaussian_card, write_gaussian
from hostile import JSON, SPECIAL, is_line

from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.card import METADATA_KEY
from ddpm_rt.artifacts.onnx_card import MAX_FIELDS, read_onnx_card


def field(number, content):
    """A field of wire type 2."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value):
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def model(*cards):
    entries = [field(14, field(1, METADATA_KEY.encode()) + field(2, card)) for card in cards]
    return field(7, b"") + b"".join(entries)


def test_a_card_in_a_hand_made_file_is_read(tmp_path):
    (tmp_path / "x.onnx").write_bytes(model(gaussian_card().to_json().encode()))
    assert read_onnx_card(tmp_path / "x.onnx") == gaussian_card()


CARD = gaussian_card().to_json().encode()
DAMAGED = {
    "two cards": (model(CARD, CARD), "more than one model card"),
    "not UTF-8": (model(b"\xff\xfe{}"), "UTF-8"),
    "zeros": (bytes(10_000), "number 0"),
    "many small fields": (b"\x08\x00" * (MAX_FIELDS + 1), "fields"),
    "no graph": (model(CARD)[2:], "no graph"),
    "cut": (model(CARD)[:-5], "truncated"),
    "a length beyond the file": (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "truncated"),
    "a number without end": (b"\xff" * 100, "protobuf"),
    "an entry without a value": (field(7, b"") + field(14, field(1, b"a")), "whole"),
    "a card of 17 MiB": (model(b" " * (17 << 20)), "MiB"),
    **{f"a card that is {name}": (model(text if isinstance(text, bytes) else text.encode()), "card|UTF-8|MiB")
       for name, (text, _) in JSON.items()},
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_a_hostile_file_is_refused_in_one_line(tmp_path, name):
    content, reason = DAMAGED[name]
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(DdpmRtError, match=reason) as caught:
        read_onnx_card(tmp_path / "x.onnx")
    assert is_line(str(caught.value))


@pytest.mark.parametrize("name", SPECIAL)
def test_only_regular_files_are_read(tmp_path, name):
    SPECIAL[name](tmp_path / "x.onnx")
    with pytest.raises(DdpmRtError, match=r"x\.onnx"):
        read_onnx_card(tmp_path / "x.onnx")


@pytest.mark.parametrize("change", [
    {"image_shape": (1, 65536, 65536)}, {"image_shape": (1, 2**40, 1)}, {"betas": (10**400,)}, {"clip": (-1e39, 1e39)},
    {"clip": (1.0, 1.0 + 1e-12)}, {"precision": "x" * 2000}, {"betas": (0.1,) * 70_000},
])  # fmt: skip
def test_facts_that_exceed_any_memory_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))) as caught:
        gaussian_card(**change)
    assert is_line(str(caught.value))


def test_a_valid_file_is_read(tmp_path):
    assert read_onnx_card(write_gaussian(tmp_path / "x.onnx")) == gaussian_card()
