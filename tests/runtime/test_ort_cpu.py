import numpy as np
import pytest
from gaussian_model import gaussian_card, write_conditional, write_gaussian

import ddpm_rt
from ddpm_rt import DdpmRtError
from ddpm_rt.inspection.model import describe, facts


def test_a_model_is_a_callable_with_a_card(gaussian):
    denoise = ddpm_rt.open_denoiser(gaussian)
    x = np.ones((2, 1, 4, 6), np.float32)
    out = denoise(x, np.array([999, 0]))
    assert out.shape == x.shape
    assert out.dtype == np.float32
    assert out[0, 0, 0, 0] != out[1, 0, 0, 0]  # each image has its own timestep
    assert denoise.card == gaussian_card()


@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_a_static_batch_is_padded_and_cut(gaussian, tmp_path, count):
    static = ddpm_rt.open_denoiser(write_gaussian(tmp_path / "static.onnx", batch=4))
    x = np.random.default_rng(0).standard_normal((count, 1, 4, 6)).astype(np.float32)
    t = np.arange(count) * 100
    np.testing.assert_array_equal(static(x, t), ddpm_rt.open_denoiser(gaussian)(x, t))


@pytest.mark.parametrize("batch", [0, 65_536, 2**40])
def test_a_batch_that_nobody_can_run_is_refused(tmp_path, batch):
    model = write_gaussian(tmp_path / "static.onnx", batch=batch)
    with pytest.raises(DdpmRtError, match=rf"its batch is fixed to {batch}; export it with 1 to 65535, or any"):
        ddpm_rt.open_denoiser(model)


def test_the_python_interface_draws_the_requested_samples(gaussian):
    calls = []
    images = ddpm_rt.sample(
        gaussian, sampler="ddpm", steps=5, count=7, batch=3, progress=lambda *count: calls.append(count)
    )
    assert images.shape == (7, 1, 4, 6)
    assert images.dtype == np.float32
    assert calls == [(done, 15) for done in range(1, 16)]
    alone = ddpm_rt.sample(gaussian, sampler="ddpm", steps=5, first=5, count=1)
    np.testing.assert_array_equal(alone[0], images[5])  # elementwise graph: no kernel choice can differ


def test_threads_do_not_change_the_images(gaussian):
    np.testing.assert_array_equal(ddpm_rt.sample(gaussian, threads=1), ddpm_rt.sample(gaussian, threads=2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": "heun"}, "heun"),
        ({"sampler": "ddpm", "eta": 0.5}, "eta"),
        ({"eta": 2.0}, "eta"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"count": 0}, "count"),
        ({"first": -1}, "first"),
        ({"first": 2**64 - 1, "count": 2}, "first"),
        ({"batch": 0}, "batch"),
        ({"steps": 0}, "steps"),
        ({"steps": 1001}, "1000"),
    ],
)
def test_arguments_out_of_range_are_refused(gaussian, options, message):
    with pytest.raises(ValueError, match=message):
        ddpm_rt.sample(gaussian, **options)


def test_the_last_sample_numbers_can_be_drawn(gaussian):
    assert ddpm_rt.sample(gaussian, steps=2, first=2**64 - 2, count=2).shape[0] == 2


def damaged(path, how):
    content = path.read_bytes()
    bad = path.with_name("bad.onnx")
    bad.write_bytes({"empty": b"", "text": b"not a model", "truncated": content[: len(content) // 2]}[how])
    return bad


@pytest.mark.parametrize("how", ["empty", "text", "truncated"])
def test_a_damaged_file_is_a_one_line_error(gaussian, tmp_path, how):
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(gaussian.read_bytes())
    with pytest.raises(DdpmRtError, match="bad.onnx") as caught:
        ddpm_rt.open_denoiser(damaged(copy, how))
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("; export the model again")


def test_a_missing_file_or_a_folder_is_named(tmp_path):
    for path in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(DdpmRtError, match="not a file"):
            ddpm_rt.open_denoiser(path)


def test_a_model_without_a_card_is_refused(tmp_path):
    with pytest.raises(DdpmRtError, match="ddpm-rt export"):
        ddpm_rt.open_denoiser(write_gaussian(tmp_path / "bare.onnx", metadata=False))


def test_a_card_for_other_images_is_refused(tmp_path):
    import onnx

    from ddpm_rt.artifacts.card import METADATA_KEY

    path = write_gaussian(tmp_path / "other.onnx")
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {METADATA_KEY: gaussian_card(image_shape=(3, 4, 6)).to_json()})
    onnx.save(model, path)
    with pytest.raises(DdpmRtError, match="the card says"):
        ddpm_rt.open_denoiser(path)


def test_other_inputs_and_outputs_are_refused(tmp_path):
    import onnx

    for old, new in (("t", "timestep"), ("out", "sample")):
        path = write_gaussian(tmp_path / "other.onnx")
        model = onnx.load(path)
        for value in (*model.graph.input, *model.graph.output):
            value.name = new if value.name == old else value.name
        for node in model.graph.node:
            node.input[:] = [new if name == old else name for name in node.input]
            node.output[:] = [new if name == old else name for name in node.output]
        onnx.save(model, path)
        with pytest.raises(DdpmRtError, match="inputs must be" if old == "t" else "one output"):
            ddpm_rt.open_denoiser(path)


def test_inspect_describes_the_file_and_its_card(gaussian):
    import hashlib

    found = facts(gaussian)
    assert found["sha256"] == hashlib.sha256(gaussian.read_bytes()).hexdigest()
    assert found["inputs"] == [
        {"name": "x", "type": "float", "shape": ["batch", 1, 4, 6]},
        {"name": "t", "type": "int64", "shape": ["batch"]},
    ]
    text = describe(found)
    for part in ("1 x 4 x 6", "eps", "fixed_small", "1000, 0.0001 to 0.02", "4.04e-05", found["sha256"]):
        assert part in text


X, T = np.zeros((2, 1, 4, 6), np.float32), np.array([5, 5])


@pytest.mark.parametrize(("arguments", "message"), [
    ((X[0], T), r"x is \[1, 4, 6\] but must be \[B, 1, 4, 6\]"),
    ((X[:0], T[:0]), r"x is \[0, 1, 4, 6\]"),
    ((X.astype(str), T), "x is of type <U"),
    ((X + 0j, T), "x is of type complex64"),
    ((X, 5), r"t is \[\] but must have one entry for each of 2 images"),
    ((X, T[:1]), r"t is \[1\] but must have one entry"),
    ((X, T[:, None]), r"timesteps have the shape \[2, 1\] but must have \[2\]"),
    ((X, -T), r"timesteps must lie in \[0, 1000\), not \[-5, -5\]"),
    ((X, T + 995), r"timesteps must lie in \[0, 1000\), not \[1000, 1000\]"),
    ((X, T * np.nan), r"timesteps must lie in \[0, 1000\)"),
    ((X, T.astype(str)), "t is of type <U"),
    ((X, T, T), "the model is unconditional; leave out y"),
    ((X, T, None, {"level": T}), "inputs must be none, not 'level'"),
])  # fmt: skip
def test_a_call_that_does_not_fit_the_model_is_an_error(gaussian, arguments, message):
    with ddpm_rt.open_denoiser(gaussian) as denoise, pytest.raises(ValueError, match=message):
        denoise(*arguments)


@pytest.mark.parametrize(("labels", "message"), [
    (None, "the model needs y, a label for each image"),
    (np.array([1]), "y is .1. but must have one entry for each of 2 images"),
    (np.array([0, -1]), r"labels must lie in \[0, 4\), not \[0, -1\]"),
    (np.array([0, 4]), r"labels must lie in \[0, 4\)"),
    (np.array([0.0, 1.0]), "y is of type float64, but must be of integers"),
])  # fmt: skip
def test_labels_of_a_call_that_do_not_fit_the_model_are_an_error(tmp_path, labels, message):
    path = write_conditional(tmp_path / "conditional.onnx")
    with ddpm_rt.open_denoiser(path) as denoise, pytest.raises(ValueError, match=message):
        denoise(X, T, labels)


def test_a_call_takes_numbers_of_other_types(tmp_path):
    x = np.random.default_rng(0).standard_normal((2, 1, 4, 6)).astype(np.float32)
    with ddpm_rt.open_denoiser(write_conditional(tmp_path / "conditional.onnx")) as denoise:
        expected = denoise(x, T, np.array([0, 1]))
        for given in (
            (x.tolist(), [5, 5], [0, 1]),
            (x.astype(np.float64), T.astype(np.uint8), np.array([0, 1], np.int32)),
        ):
            np.testing.assert_array_equal(denoise(*given), expected)
