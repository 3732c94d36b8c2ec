import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpm_ref import text as ref_text
from ddpm_rt import DdpmRtError, text

BOTH = pytest.mark.parametrize("kind", [text, ref_text], ids=["runtime", "reference"])


@BOTH
@given(st.text() | st.text(alphabet="\x1b\n\r\0\u202e\u2028\ud800\x9b", max_size=2000))
def test_any_text_becomes_one_printable_line(kind, given_text):
    line = kind.one_line(given_text)
    assert line.isprintable()
    assert len(line) <= kind.MESSAGE


@BOTH
def test_printable_text_stays_unchanged(kind):
    for given_text in ("unet.onnx: größe 8 × 8, 猫 🐈", ""):
        assert kind.printable(given_text) == given_text
        assert kind.one_line(given_text) == given_text


@BOTH
def test_a_long_line_keeps_its_start_and_its_end(kind):
    line = kind.one_line("begin " + "x" * 10**6 + " end")
    assert line.startswith("begin x")
    assert line.endswith("x end")


@BOTH
@pytest.mark.parametrize(
    "value",
    ["A" * 10**5, ["B" * 500] * 50, {"a": {"b": {"c": [1] * 100}}}, 10**5000, "\x1b[2J"],
    ids=["text", "list", "objects", "integer", "escape"],
)
def test_a_value_is_quoted_in_a_few_characters(kind, value):
    quoted = kind.quoted(value)
    assert 0 < len(quoted) <= kind.QUOTE
    assert quoted.isprintable()


def test_every_error_is_one_printable_line():
    assert str(DdpmRtError("a\x1b[2J\nb")) == "a\\x1b[2J b"
