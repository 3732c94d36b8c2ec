"""Every reader accepts a mutated file or refuses it in one printable line; `make fuzz` runs longer."""

import pytest
from fuzz.mutation import KINDS, PAYLOADS, Edit, check, mutated
from fuzz.targets import all_targets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SHARE = st.integers(0, (1 << 16) - 1)
EDITS = st.lists(
    st.builds(Edit, kind=st.sampled_from(KINDS), place=SHARE, size=SHARE, payload=st.integers(0, len(PAYLOADS) - 1)),
    min_size=1,
    max_size=6,
)


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    return all_targets(tmp_path_factory.mktemp("seeds"))


NAMES = ("onnx", "fused", "card", "steps", "record", "config", "scheduler", "recipe", "facts", "betas", "betas npy",
         "array", "byte array", "quantization", "image", "palette", "jpeg", "mask", "text", "npz", "zip",
         "safetensors", "pt", "old pt")  # fmt: skip


def test_every_reader_is_fuzzed(targets):
    assert tuple(targets) == NAMES


@pytest.mark.parametrize("name", [name for name in NAMES if name != "record"])
def test_every_valid_file_is_accepted(targets, tmp_path, name):
    assert check(targets[name], tmp_path / f"x{targets[name].suffix}", targets[name].seed) == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, derandomize=True, deadline=None, database=None,
          suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])  # fmt: skip
@given(edits=EDITS)
def test_a_mutated_file_is_accepted_or_refused_in_one_line(targets, tmp_path, name, edits):
    target = targets[name]
    check(target, tmp_path / f"x{target.suffix}", mutated(target.seed, edits))
