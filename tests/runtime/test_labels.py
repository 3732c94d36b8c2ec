"""Class labels and guidance: closed forms, ONNX Runtime, and all errors."""

import numpy as np
import pytest
from gaussian_model import CLASS_MEANS, conditional_card, gaussian_card, write_conditional

import ddpm_rt
from ddpm_rt import DdpmRtError
from ddpm_rt.requests.conditioned import Conditions, conditioned
from ddpm_rt.requests.edit import Edit
from ddpm_rt.requests.interpolation import Between
from ddpm_rt.requests.inversion import FromNoise
from ddpm_rt.requests.request import Request


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    return write_conditional(tmp_path_factory.mktemp("models") / "conditional.onnx")


def test_a_label_decides_what_is_drawn(conditional):
    """The mean of the pixels of each class, 64 images of 24 pixels of deviation 0.5: standard error 0.013."""
    for label, mean in enumerate(CLASS_MEANS):
        images = ddpm_rt.sample(conditional, label=label, steps=50, count=64, batch=64)
        assert images.mean() == pytest.approx(mean, abs=0.05)


def test_a_sample_gets_the_label_of_its_number(conditional):
    mixed = ddpm_rt.sample(conditional, label=[0, 2, 1], steps=5, count=7, batch=3)
    for sample in range(7):
        alone = ddpm_rt.sample(conditional, label=[0, 2, 1][sample % 3], steps=5, first=sample, count=1)
        np.testing.assert_array_equal(alone[0], mixed[sample])
    later = ddpm_rt.sample(conditional, label=[0, 2, 1], steps=5, first=4, count=2)
    np.testing.assert_array_equal(later, mixed[4:6])


def test_guidance_is_null_plus_w_times_the_difference():
    rng = np.random.default_rng(0)
    table = rng.standard_normal((3, 2, 4, 4)).astype(np.float32)
    asked = []

    def engine(x, t, y=None):
        asked.append((len(x), t.tolist(), y.tolist()))
        return table[y] * x[:, :1]

    x = rng.standard_normal((2, 1, 4, 4)).astype(np.float32)
    labels, null = Conditions(np.array([0, 1])), Conditions(np.array([2, 2]))
    out = conditioned(engine, labels, guidance=3.0, null=null)(x, np.array([7, 7]))
    assert asked == [(4, [7] * 4, [0, 1, 2, 2])]  # one call for both
    null, labelled = table[2] * x, table[[0, 1]] * x
    np.testing.assert_allclose(out[:, :1], (null + 3 * (labelled - null))[:, :1], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(out[:, 1:], labelled[:, 1:])  # a learned variance is not guided


def test_guidance_of_one_is_bit_equal_to_no_guidance_and_calls_the_network_once(conditional):
    engine = ddpm_rt.open_denoiser(conditional)
    sizes = []

    class Counting:
        card = engine.card

        def __call__(self, x, t, y=None):
            sizes.append(len(x))
            return engine(x, t, y)

    plain = ddpm_rt.sample(conditional, label=1, steps=5, count=4)
    np.testing.assert_array_equal(ddpm_rt.sample(Counting(), label=1, steps=5, count=4, guidance=1.0), plain)
    assert sizes == [4] * 5
    assert not np.array_equal(ddpm_rt.sample(Counting(), label=1, steps=5, count=4, guidance=2.0), plain)
    assert sizes[5:] == [8] * 5


def test_guidance_of_zero_is_the_null_class(conditional):
    unlabelled = ddpm_rt.sample(conditional, label=3, steps=5, count=4)
    np.testing.assert_allclose(
        ddpm_rt.sample(conditional, label=1, guidance=0.0, steps=5, count=4), unlabelled, rtol=0, atol=1e-6
    )


def test_without_a_label_every_class_is_drawn_in_turn(conditional):
    """The class of a sample depends only on its number, not on the batch. The null class is left out."""
    asked = ddpm_rt.sample(conditional, label=[0, 1, 2], steps=5, count=7)
    np.testing.assert_array_equal(ddpm_rt.sample(conditional, steps=5, count=7), asked)
    np.testing.assert_array_equal(ddpm_rt.sample(conditional, steps=5, first=4, count=3, batch=2), asked[4:])
    guided = ddpm_rt.sample(conditional, label=[0, 1, 2], guidance=2.0, steps=5, count=4)
    np.testing.assert_array_equal(ddpm_rt.sample(conditional, guidance=2.0, steps=5, count=4), guided)


def test_a_request_describes_its_labels():
    bound = Request(count=4).bind(conditional_card())
    assert bound.labels([5, 6]).tolist() == [2, 0]
    assert bound.request.describe()["ddpm-rt.label"] == "0 1 2"
    assert Request(count=4).bind(gaussian_card()).labels([5, 6]) is None


def test_an_edit_without_a_label_uses_the_null_class_or_is_refused():
    images = np.zeros((1, *conditional_card().image_shape), np.float32)
    for request in (
        Edit(images=images, count=2),
        Between(start=0, end=1, count=2),
        FromNoise(noise=images, count=1),
    ):
        assert request.bind(conditional_card()).labels([0, 1]).tolist() == [3, 3]
        with pytest.raises(ValueError, match="needs a label: 0 to 3$"):
            request.bind(conditional_card(null_class=None))


@pytest.mark.parametrize(
    ("card", "options", "message"),
    [
        (gaussian_card(), {"label": [1]}, "unconditional"),
        (gaussian_card(), {"guidance": 2.0}, "unconditional"),
        (conditional_card(), {"label": []}, "needs a label: 0 to 3, where 3 is no class"),
        (conditional_card(), {"label": [4]}, "label 4 is none of the model's: 0 to 3"),
        (conditional_card(), {"label": [0, -1]}, "label -1"),
        (conditional_card(), {"label": [0], "guidance": float("nan")}, "finite"),
        (conditional_card(null_class=None), {"label": [0], "guidance": 2.0}, "null class"),
        (conditional_card(null_class=None), {}, "needs a label: 0 to 3$"),
        (conditional_card(null_class=None), {"guidance": 2.0}, "needs a label: 0 to 3$"),
    ],
)
def test_labels_that_a_model_does_not_have_are_refused(card, options, message):
    with pytest.raises(ValueError, match=message):
        Request(**options).bind(card)


@pytest.mark.parametrize("time", ["int64", "int32", "float32", "one int64", "one float32"])
def test_a_foreign_graph_with_other_names_and_time_types_runs(gaussian, tmp_path, time):
    """The same network with other names and another type of t gives the same images."""
    names = {"x": "sample", "t": "timestep", "y": "class_labels", "out": "out_sample"}
    other = write_conditional(tmp_path / "other.onnx", card=conditional_card(names=names), time=time)
    ours = write_conditional(tmp_path / "ours.onnx")
    options = {"label": [0, 1], "steps": 5, "count": 5}
    np.testing.assert_array_equal(ddpm_rt.sample(other, **options), ddpm_rt.sample(ours, **options))
    if time.startswith("one"):
        with pytest.raises(ValueError, match="one t for all"):
            ddpm_rt.open_denoiser(other)(np.zeros((2, 1, 4, 6), np.float32), np.array([1, 2]), np.array([0, 0]))


def test_labels_are_padded_to_a_static_batch(tmp_path):
    static = ddpm_rt.open_denoiser(write_conditional(tmp_path / "static.onnx", batch=4))
    free = ddpm_rt.open_denoiser(write_conditional(tmp_path / "free.onnx"))
    given = np.ones((6, 1, 4, 6), np.float32), np.arange(6) * 100, np.array([0, 1, 2, 3, 0, 1])
    np.testing.assert_array_equal(static(*given), free(*given))


@pytest.mark.parametrize("variance", ["fixed_small", "learned_range"])
def test_channels_that_contradict_the_variance_are_refused(tmp_path, variance):
    card = conditional_card(variance=variance)
    path = write_conditional(tmp_path / "x.onnx", card=card, spread=variance == "fixed_small")
    with pytest.raises(DdpmRtError, match=f"variance {variance}"):
        ddpm_rt.open_denoiser(path)


def test_a_learned_variance_is_between_the_two_fixed_ones(tmp_path):
    """A spread of 1 gives fixed_large and a spread of -1 fixed_small, up to rounding, also in the samples."""
    for value, fixed in ((1.0, "fixed_large"), (-1.0, "fixed_small")):
        learned = write_conditional(
            tmp_path / "learned.onnx", card=conditional_card(variance="learned_range"), spread=value
        )
        plain = write_conditional(tmp_path / "plain.onnx", card=conditional_card(variance=fixed))
        options = {"sampler": "ddpm", "steps": 40, "count": 3, "label": 1}
        np.testing.assert_allclose(
            ddpm_rt.sample(learned, **options), ddpm_rt.sample(plain, **options), rtol=0, atol=1e-5
        )
