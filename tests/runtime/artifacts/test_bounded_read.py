"""The readers of the runtime and of the reference have the same limits and refuse the same files."""

import json

import pytest
from hostile import FINE, JSON, SPECIAL, is_line

from ddpm_ref import archive
from ddpm_ref import betas as ref_betas
from ddpm_ref import bounded_read as ref_read
from ddpm_ref import data as ref_data
from ddpm_ref import text as ref_text
from ddpm_ref.errors import FileError
from ddpm_rt import DdpmRtError, limits, text
from ddpm_rt.artifacts import array_file, bounded_read
from ddpm_rt.images import picture_file

PARSERS = {"runtime": bounded_read.parse_json, "reference": ref_read.parse_json}
READERS = {"runtime": lambda path: bounded_read.read_bytes(path, "do this"), "reference": ref_read.read_bytes}


def test_the_limits_of_the_two_packages_are_equal():
    for name in ("TEXT_BYTES", "NESTING", "DIGITS", "KEYS", "PICTURE_BYTES"):
        assert getattr(bounded_read, name) == getattr(ref_read, name), name
    assert (text.MESSAGE, text.QUOTE) == (ref_text.MESSAGE, ref_text.QUOTE)
    assert limits.MAX_TIMESTEPS == ref_betas.MAX_TIMESTEPS
    assert (picture_file.MAX_PIXELS, picture_file.READ_FORMATS) == (ref_data.MAX_PIXELS, ref_data.FORMATS)
    assert array_file.HEADER_BYTES == archive.HEADER_BYTES


@pytest.mark.parametrize("who", PARSERS)
@pytest.mark.parametrize("name", JSON)
def test_a_hostile_text_is_refused_with_the_reason(who, name):
    content, reason = JSON[name]
    with pytest.raises(ValueError, match=reason) as caught:
        PARSERS[who](content)
    assert is_line(str(caught.value), 200)


@pytest.mark.parametrize("who", PARSERS)
@pytest.mark.parametrize("name", FINE)
def test_a_text_within_the_limits_is_parsed_as_by_json(who, name):
    assert PARSERS[who](FINE[name]) == json.loads(FINE[name])


@pytest.mark.parametrize("who", READERS)
@pytest.mark.parametrize("name", SPECIAL)
def test_a_file_that_is_not_regular_or_too_large_is_refused_at_once(tmp_path, who, name):
    path = tmp_path / "x\x1b[2J.json"
    SPECIAL[name](path)
    with pytest.raises((DdpmRtError, FileError)) as caught:
        READERS[who](path)
    assert is_line(str(caught.value))
    assert "\\x1b" in str(caught.value)


@pytest.mark.parametrize("who", READERS)
def test_a_name_that_no_file_can_have_is_a_one_line_error(tmp_path, who):
    for name in ("a" * 5000, "a\0b"):
        with pytest.raises((DdpmRtError, FileError)) as caught:
            READERS[who](tmp_path / name)
        assert is_line(str(caught.value))


@pytest.mark.parametrize("who", READERS)
def test_a_link_to_a_regular_file_is_read(tmp_path, who):
    (tmp_path / "real").write_text("content")
    (tmp_path / "link").symlink_to("real")
    assert READERS[who](tmp_path / "link") == b"content"


@pytest.mark.parametrize("content", [
    "a = " + "[" * 100_000, "a = " + "1" * 200, "a = 1_" + "0" * 200, "a = ", "a = 1\na = 2", b"a = '\xff'",
], ids=["deep", "digits", "digits apart", "no value", "twice", "not UTF-8"])  # fmt: skip
def test_a_hostile_toml_is_refused(content):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        ref_read.parse_toml(content)
    assert is_line(str(caught.value), 200)


def test_brackets_in_the_strings_and_comments_of_a_toml_do_not_count():
    content = f"a = '{'[' * 200}'\nb = \"{'[' * 200}\"  # {'[' * 200}\n"
    assert ref_read.parse_toml(content) == {"a": "[" * 200, "b": "[" * 200}
