"""Ranges of activations, and the integers of weights."""

from dataclasses import replace

import numpy as np
import pytest
from onnx import helper

from ddpm_export.quantize.insert import CPU, TENSORRT, channel_axis, quantised_weights
from ddpm_export.quantize.ranges import SIGNED, UNSIGNED, Seen, best_range, range_of, ranges_of


def seen(values):
    found = Seen()
    found.add(np.asarray(values, np.float32))
    return found


@pytest.mark.parametrize("scheme", [UNSIGNED, SIGNED])
def test_a_value_in_the_range_is_off_by_half_a_step_at_most_and_zero_by_nothing(scheme):
    one = range_of(-0.3, 2.1, scheme)
    values = np.linspace(-0.3, 2.1, 1001, dtype=np.float32)
    # The ends may lose half a step more: the zero point is a whole number.
    assert np.abs(one.rounded(values, scheme) - values).max() <= one.scale * 1.001
    assert np.abs(one.rounded(values[5:-5], scheme) - values[5:-5]).max() <= one.scale * 0.51
    assert one.rounded(np.zeros(1, np.float32), scheme) == 0
    assert scheme.low <= one.zero_point <= scheme.high
    assert (one.zero_point == 0) == scheme.symmetric


def test_a_range_leaves_out_rare_values_when_that_lowers_the_mean_error():
    values = np.append(np.random.default_rng(0).standard_normal(5000), 40.0)
    found = Seen(float(values.min()), 40.0, [values.astype(np.float32)])
    best = best_range(found, UNSIGNED)
    whole = range_of(found.low, found.high, UNSIGNED)
    errors = [np.mean(np.abs(one.rounded(values.astype(np.float32), UNSIGNED) - values)) for one in (best, whole)]
    assert best.scale < whole.scale
    assert errors[0] < errors[1]


def test_a_range_of_plain_values_is_nearly_the_whole_one():
    values = np.random.default_rng(0).uniform(-1, 3, 4000)
    best = best_range(seen(values), UNSIGNED)
    assert best.scale * 255 == pytest.approx(4.0, rel=0.06)


def test_kept_values_are_of_all_columns_of_an_image():
    image = np.broadcast_to(np.arange(64, dtype=np.float32), (1, 8, 64, 64))
    assert len(set(np.concatenate(seen(image).values).tolist())) > 50


def test_tensors_of_a_group_have_one_range_that_has_room_for_both():
    found = ranges_of({"a": seen([0, 1.0]), "b": seen([-2.0, 0]), "c": seen([9.0])}, [("a", "b")], SIGNED)
    assert found["a"] == found["b"] != found["c"]
    assert found["a"].scale * 127 > 1.9


def test_a_tensor_that_is_always_zero_has_a_range():
    assert np.isfinite(best_range(seen(np.zeros(10)), UNSIGNED).scale)


@pytest.mark.parametrize(("style", "most"), [(CPU, 0.501), (replace(TENSORRT, scales=np.float16), 0.57)])
def test_weights_are_symmetric_and_as_fine_as_each_channel_allows(style, most):
    """A scale in fp16 may be too small by 2^-11, so that the largest weight is off by 127 / 2^11 more."""
    values = np.random.default_rng(0).standard_normal((6, 4, 3, 3)).astype(np.float32)
    values *= np.float32(10.0) ** np.arange(6, dtype=np.float32).reshape(-1, 1, 1, 1)
    values[5] = 0.0
    integers, scales = quantised_weights(values, 0, style.rounded)
    np.testing.assert_array_equal(scales.astype(style.scales).astype(np.float32), scales)
    assert (scales > 0).all()
    assert np.abs(integers[:5]).reshape(5, -1).max(axis=1).tolist() == [127] * 5
    error = np.abs(integers * scales.reshape(-1, 1, 1, 1) - values).reshape(6, -1).max(axis=1)
    assert (error <= scales * most).all()
    assert (integers[5] == 0).all()


def test_the_channels_of_a_product_are_where_its_operator_has_them():
    assert channel_axis(helper.make_node("MatMul", ["a", "b"], ["c"]), 2) == 1
    assert channel_axis(helper.make_node("Gemm", ["a", "b"], ["c"]), 2) == 1
    assert channel_axis(helper.make_node("Gemm", ["a", "b"], ["c"], transB=1), 2) == 0
    assert channel_axis(helper.make_node("Conv", ["a", "b"], ["c"]), 4) == 0
