import numpy as np
import pytest
from command import failed, run
from condition_files import denoiser_card, write_denoiser
from gaussian_model import write_conditional
from PIL import Image

from ddpm_rt.artifacts.fitted_tables import fitted_tables
from ddpm_rt.cli.tune import warn
from ddpm_rt.tune import Fit, RanOn

FEW = ("--samples", 16, "--held-out", 9, "--teacher-calls", 20)


def test_tune_prints_the_error_of_each_table_and_the_written_file(model, tmp_path):
    out = tmp_path / "g.steps.json"
    result = run("tune", model, "--calls", 4, "-o", out, *FEW)
    assert result.exit_code == 0, result.output
    heading, *lines, last = result.stdout.splitlines()
    assert "9 held-out samples, 4 calls" in heading
    assert [line.rsplit(maxsplit=1)[0].strip() for line in lines] == ["ddim", "dpm++ logsnr", "fitted"]
    assert float(lines[2].split()[-1]) < float(lines[1].split()[-1])
    assert last == f"fitted, 4 calls: {out}"
    assert result.stderr == ""


def test_a_table_is_fitted_to_a_foreign_model_of_noise_levels_with_a_condition(tmp_path):
    denoiser = write_denoiser(tmp_path / "denoiser.onnx", card=denoiser_card())
    given = ("--input", "difficulty=42")
    result = run("tune", denoiser, "--calls", 4, *given, "--embed", "--samples", 16, "--held-out", 9)
    assert result.exit_code == 0, result.output
    errors = dict(line.rsplit(maxsplit=1) for line in result.stdout.splitlines()[1:4])
    errors = {name.strip(): float(error) for name, error in errors.items()}
    assert errors["fitted"] < 0.5 * min(errors["euler"], errors["dpm++ logsnr"])

    def drawn(*sampler):
        assert run("sample", denoiser, "--sampler", *sampler, *given, "--out", tmp_path / "x.npy").exit_code == 0
        return np.load(tmp_path / "x.npy").astype(np.float64)

    dense = drawn("dpm++", "--steps", 400)
    off = [np.sqrt(np.mean((drawn(*sampler) - dense) ** 2)) for sampler in (("fitted",), ("euler", "--steps", 4))]
    assert off[0] < 0.5 * off[1]  # also on other samples, against a finer teacher


def test_a_steps_file_and_the_table_in_the_model_draw_the_same_images(model, tmp_path):
    out, images = tmp_path / "g.steps.json", tmp_path / "x.npy"
    assert run("tune", model, "--calls", 4, "-o", out, "--embed", *FEW).exit_code == 0
    drawn = []
    for how in (("--steps-file", out), ("--sampler", "fitted"), ("--sampler", "fitted", "--steps", 4)):
        assert run("sample", model, *how, "--count", 3, "-o", images).exit_code == 0
        drawn.append(np.load(images))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[0], drawn[2])
    assert run("steps", model, "--sampler", "fitted", "-o", tmp_path / "again.steps.json").exit_code == 0
    assert (tmp_path / "again.steps.json").read_text() == out.read_text()


def test_a_fitted_table_works_like_any_other_table(model, tmp_path):
    """Image to image, masks, walks and `verify`."""
    assert run("tune", model, "--calls", 5, "--embed", *FEW).exit_code == 0
    start, mask, out = tmp_path / "start.npy", tmp_path / "mask.png", tmp_path / "x.npy"
    np.save(start, np.zeros((1, 1, 4, 6), np.float32))
    Image.fromarray(np.eye(4, 6, dtype=np.uint8) * 255).save(mask)
    fitted = (model, "--sampler", "fitted")
    for more in (("--strength", 0.6), ("--mask", mask)):
        result = run("sample", *fitted, "--init-image", start, *more, "--count", 2, "-o", out)
        assert result.exit_code == 0, result.output
    assert np.isfinite(np.load(out)).all()
    assert run("interpolate", *fitted, "--from", 0, "--to", 1, "--frames", 3, "-o", out).exit_code == 0
    result = run("verify", model, "--engine-b", model, "--sampler", "fitted")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("equal to the bit")
    assert len(result.stdout.splitlines()) == 2 + 5


def test_the_picture_shows_the_teacher_and_every_table(model, tmp_path):
    png = tmp_path / "g.png"
    assert run("tune", model, "--calls", 4, "-o", tmp_path / "g.json", "--png", png, *FEW).exit_code == 0
    with Image.open(png) as picture:
        assert picture.info["ddpm-rt.sampler"].startswith("sampler fitted, steps 4")
        assert picture.size[1] > 4 * 64  # four rows of images that are enlarged to 64 pixels


def test_labels_guidance_noise_and_timesteps_are_options(tmp_path):
    model, out = write_conditional(tmp_path / "c.onnx"), tmp_path / "c.steps.json"
    asked = ("--label", "0,2", "--guidance", 1.5, "--eta", 0.5, "--timesteps", "900,400,50", "--seed", 3)
    result = run("tune", model, "-o", out, *asked, *FEW)
    assert result.exit_code == 0, result.output
    words = ("label 0 2", "guidance 1.5", "eta 0.5", "seed 3", "held-out seed 4", "provider cpu")
    assert [word for word in words if word not in out.read_text()] == []


def test_a_fit_worse_than_a_baseline_causes_a_warning(capsys):
    def fit(**errors):
        known = {"timesteps": [9, 0], "eta": 0.0, "label": None, "guidance": 1.0, "teacher_calls": 20, "seed": 1}
        known |= {"samples": 4, "held_out_seed": 2, "held_out": 4, "errors": errors}
        return Fit(**known, ran_on=RanOn(model="", precision="fp32", provider="cpu"))

    warn(fit(ddim=0.3, dpm=0.2, fitted=0.1))
    assert capsys.readouterr().err == ""
    warn(fit(ddim=0.3, dpm=0.05, fitted=0.1))
    line = capsys.readouterr().err
    assert line.startswith("warning: the fitted table is farther from the teacher than dpm (0.05)")
    assert line.count("\n") == 1


@pytest.mark.parametrize("when", ["teacher", "timesteps", "rows", "held-out samples"])
def test_ctrl_c_leaves_no_file_and_an_unchanged_model(model, tmp_path, monkeypatch, when):
    from ddpm_rt.cli import tune as command

    def interrupt(stage):
        if stage == when:
            raise KeyboardInterrupt

    before = model.read_bytes()
    monkeypatch.setattr(command, "_progress", lambda calls, quiet: Bar(interrupt))
    result = run("tune", model, "--calls", 4, "-o", tmp_path / "g.json", "--embed", "--png", tmp_path / "g.png", *FEW)
    assert result.exit_code == 130
    assert list(tmp_path.iterdir()) == [model]
    assert model.read_bytes() == before


class Bar:
    def __init__(self, progress):
        self.progress = progress

    def __enter__(self):
        return self.progress

    def __exit__(self, *_):
        return None


def test_an_invalid_fit_is_a_one_line_error(model, tmp_path):
    out = tmp_path / "g.steps.json"
    failed(run("tune", model, "--calls", 4), "-o FILE", "--embed", code=2)
    failed(run("tune", model, "-o", out), "calls or timesteps", code=2)
    failed(run("tune", model, "--calls", 4, "-o", model), "input", code=2)
    failed(run("tune", model, "--calls", 4, "-o", tmp_path / "x.png"), ".json", code=2)
    failed(run("tune", model, "--calls", 4, "-o", tmp_path / "none" / "x.json"), "is not a folder")
    failed(run("tune", model, "--calls", 60, "-o", out), "must be more than the table", code=2)
    failed(run("tune", model, "--calls", 4, "--label", 1, "-o", out), "unconditional", code=2)
    failed(run("tune", tmp_path / "none.onnx", "--calls", 4, "-o", out), "is not a file")
    failed(run("sample", model, "--sampler", "fitted"), "contains no fitted table", code=2)
    assert list(tmp_path.iterdir()) == [model]
    assert fitted_tables(model) == {}
