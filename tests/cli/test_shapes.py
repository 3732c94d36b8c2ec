"""Samples that are no images, on the command line and in Python."""

import numpy as np
import pytest
from command import run, sampled
from condition_files import write_super_resolution

import ddpm_rt
from ddpm_rt import Request


@pytest.mark.parametrize("shape", [(1, 32, 32, 32), (2, 256)], ids=["volume", "sequence"])
def test_what_is_no_picture_is_drawn_into_arrays(tmp_path, shape):
    engine = write_super_resolution(tmp_path / "unet.onnx", shape=shape)
    command = ("--engine", engine, "--steps", 2, "--count", 3, "--input", "low_res=0.25")
    result = run("sample", *command, "--out", tmp_path / "x.png")
    assert result.exit_code == 2
    sizes = " x ".join(map(str, shape))
    assert f"{sizes}, which a picture cannot show; write .npy, or a folder of .npz" in result.stderr
    sampled(*command, "--out", tmp_path / "x.npy")
    assert np.load(tmp_path / "x.npy").shape == (3, *shape)
    sampled(*command, "--out", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.npz")) == [f"00000{n}.npz" for n in range(3)]
    with np.load(tmp_path / "out" / "000002.npz") as file:
        np.testing.assert_array_equal(file["x"], np.load(tmp_path / "x.npy")[2])
    assert "3 were there already" in sampled(*command, "--out", tmp_path / "out").stdout
    (tmp_path / "out" / "000001.npz").write_bytes(b"PK torn")
    again = sampled(*command, "--out", tmp_path / "out").stdout
    assert "1 were damaged" in again
    result = run("sample", *command, "--seed", 1, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "use another folder" in result.stderr


def test_a_sequence_is_edited_and_inverted_by_the_command_and_in_python(tmp_path):
    engine = write_super_resolution(tmp_path / "unet.onnx", shape=(2, 256))
    given = np.random.default_rng(0).uniform(-1, 1, (3, 2, 256)).astype(np.float32)
    request, command = Request(steps=4, count=3, inputs={"low_res": 0.25}), ("--steps", 4, "--input", "low_res=0.25")
    np.save(tmp_path / "given.npy", given)

    sampled("--engine", engine, *command, "--init-image", tmp_path / "given.npy", "--out", tmp_path / "edited.npy")
    edited = ddpm_rt.from_image(given, engine, request=request)
    np.testing.assert_array_equal(np.load(tmp_path / "edited.npy"), edited)
    alone = ddpm_rt.from_image(given[0], engine, request=Request(steps=4, count=1, inputs={"low_res": 0.25}))
    np.testing.assert_array_equal(alone, edited[:1])

    mask = np.zeros(256, bool)
    mask[100:] = True
    filled = ddpm_rt.inpaint(given, mask, engine, request=request)
    np.testing.assert_array_equal(filled[..., :100], given[..., :100])
    assert (filled[..., 100:] != given[..., 100:]).all()

    result = run("invert", "--engine", engine, *command, tmp_path / "given.npy", "--out", tmp_path / "x_T.npy")
    assert result.exit_code == 0, result.output
    x_T = ddpm_rt.invert(given, engine, request=request)
    np.testing.assert_array_equal(np.load(tmp_path / "x_T.npy"), x_T)
    np.testing.assert_array_equal(ddpm_rt.invert(given[0], engine, request=request), x_T[:1])
    sampled("--engine", engine, *command, "--init-noise", tmp_path / "x_T.npy", "--out", tmp_path / "again.npy")
    again = ddpm_rt.from_noise(x_T, engine, request=request)
    np.testing.assert_array_equal(np.load(tmp_path / "again.npy"), again)
    np.testing.assert_array_equal(ddpm_rt.from_noise(x_T[0], engine, request=request), again[:1])
