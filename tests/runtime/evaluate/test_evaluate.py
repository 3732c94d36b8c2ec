"""Features, data sets, and the figures of an engine whose samples are known."""

import numpy as np
import onnx
import pytest
from gaussian_model import gaussian_card, write_gaussian
from onnx import TensorProto, helper
from PIL import Image

from ddpm_rt import DdpmRtError, open_denoiser
from ddpm_rt.evaluate import FeatureNetwork, PooledPixels, RealImages, Resampling, evaluate
from ddpm_rt.requests.request import Request

FEW = Resampling(resamples=20)
REQUEST = Request(steps=4, count=48, batch=16)


def bytes_of(count, seed, mean=0.0):
    """Images of the law that the Gaussian model draws: pixels of standard deviation 1/2."""
    pixels = mean + 0.5 * np.random.default_rng(seed).standard_normal((count, 4, 6, 1))
    return np.rint((pixels.clip(-1, 1) + 1) * 127.5).astype(np.uint8)


def real(tmp_path, mean=0.0, count=200):
    np.savez(tmp_path / "x.npz", images=bytes_of(count, 1, mean))
    return RealImages.open(tmp_path / "x.npz", (1, 4, 6))


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    card = gaussian_card(clip=(-1.0, 1.0))
    with open_denoiser(write_gaussian(tmp_path_factory.mktemp("model") / "g.onnx", card=card), threads=1) as opened:
        yield opened


def test_samples_of_the_law_of_the_data_are_as_close_as_real_images(engine, tmp_path):
    request = Request(sampler="ddpm", steps=200, count=48, batch=48)
    found = evaluate(engine, request, real(tmp_path), PooledPixels(), FEW)
    assert (found.count, found.floor_count, found.reference_count, found.features) == (48, 48, 152, 24)
    for name in ("frechet", "kernel"):
        ours, floor = getattr(found.generated, name), getattr(found.floor, name)
        assert abs(ours.value - floor.value) < 3 * (ours.margin + floor.margin)
        assert floor.margin > 0
    assert found.generated.precision.value > 0.6
    assert found.generated.recall.value > 0.6


def test_samples_of_another_law_are_farther_off_than_real_images(engine, tmp_path):
    found = evaluate(engine, REQUEST, real(tmp_path, mean=0.6), PooledPixels(), FEW)
    for name in ("frechet", "kernel"):
        ours, floor = getattr(found.generated, name), getattr(found.floor, name)
        assert ours.value - ours.margin > floor.value + floor.margin
    assert found.generated.precision.value < 0.5 * found.floor.precision.value


def test_the_same_request_gives_the_same_figures_in_any_batch(engine, tmp_path):
    data = real(tmp_path)
    one = evaluate(engine, REQUEST, data, PooledPixels(), FEW)
    other = evaluate(engine, Request(steps=4, count=48, batch=48), data, PooledPixels(), FEW)
    assert one == other


def test_too_few_images_are_refused(engine, tmp_path):
    with pytest.raises(ValueError, match="8 samples and 16 real images"):
        evaluate(engine, REQUEST, real(tmp_path, count=10), PooledPixels(), FEW)
    with pytest.raises(ValueError, match="at least 2 resamples"):
        Resampling(resamples=1)


def feature_network(path, sides, kind=TensorProto.FLOAT, inputs=("images",)):
    """The mean of each channel."""
    nodes = [helper.make_node("Cast", [inputs[0]], ["x"], to=TensorProto.FLOAT)]
    nodes.append(helper.make_node("GlobalAveragePool", ["x"], ["features"]))
    tensors = [helper.make_tensor_value_info(name, kind, sides) for name in inputs]
    out = [helper.make_tensor_value_info("features", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "features", tensors, out)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


@pytest.mark.parametrize("batch", ["batch", 4])
@pytest.mark.parametrize("channels", [1, 3, "c"])
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.UINT8])
def test_a_feature_network_gets_floats_or_bytes_in_its_own_batch(tmp_path, batch, channels, kind):
    network = FeatureNetwork(feature_network(tmp_path / "f.onnx", [batch, channels, 4, 6], kind), threads=1)
    pixels = bytes_of(10, 0)
    expected = pixels.astype(np.float64).mean(axis=(1, 2)) / (1 if kind == TensorProto.UINT8 else 127.5)
    expected = expected - (0 if kind == TensorProto.UINT8 else 1)
    found = network(pixels)
    assert found.shape == (10, 3 if channels == 3 else 1)
    # float32 means of values up to 255
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), rtol=0, atol=1e-4)


def test_a_network_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(DdpmRtError, match="features need one input"):
        FeatureNetwork(feature_network(tmp_path / "a.onnx", ["b", 1, 4, 6], inputs=("x1", "x2")), threads=1)
    network = FeatureNetwork(feature_network(tmp_path / "b.onnx", ["b", 1, 8, 6]), threads=1)
    with pytest.raises(DdpmRtError, match="put a Resize into it"):
        network(bytes_of(2, 0))


def test_pooled_pixels_are_means_of_cells():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 20, 16, 2), dtype=np.uint8)
    found = PooledPixels()(pixels).reshape(3, 8, 8, 2)
    assert found[1, 0, 3, 1] == pytest.approx(pixels[1, 0:2, 6:8, 1].mean() / 127.5 - 1)
    assert found[2, 7, 7, 0] == pytest.approx(pixels[2, 17:20, 14:16, 0].mean() / 127.5 - 1)
    assert np.abs(found).max() <= 1


def test_a_folder_an_npy_and_an_npz_hold_the_same_images(tmp_path):
    pixels = bytes_of(5, 0)
    folder = tmp_path / "pictures"
    for number, one in enumerate(pixels):
        place = folder / str(number % 2)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(one[..., 0]).save(place / f"{number}.png")
    (folder / "notes.txt").write_text("no picture")
    np.save(tmp_path / "x.npy", pixels.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1)
    np.savez(tmp_path / "x.npz", images=pixels[..., 0])
    sets = [RealImages.open(tmp_path / name, (1, 4, 6)) for name in ("pictures", "x.npy", "x.npz")]
    assert [len(one) for one in sets] == [5, 5, 5]
    np.testing.assert_array_equal(sets[0].read([0, 1, 2]), pixels[[0, 2, 4]])
    for one in sets[1:]:
        np.testing.assert_array_equal(one.read([4, 0]), pixels[[4, 0]])


def test_images_of_another_shape_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", images=bytes_of(5, 0))
    with pytest.raises(ValueError, match=r"is \[5, 4, 6, 1\]; the model draws images \[N, 8, 8, 1\]"):
        RealImages.open(tmp_path / "x.npz", (1, 8, 8))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DdpmRtError, match="has no pictures"):
        RealImages.open(tmp_path / "empty", (1, 4, 6))
