"""A network in a weights file is found under any prefix; several networks need a name."""

import zipfile

import pytest
import torch

from ddpm_export.sources import candidates, guided, open_source
from ddpm_export.sources.selection import Selection, shortened
from ddpm_export.sources.state_file import read_state
from ddpm_ref.checkpoint import weights_sha256
from ddpm_ref.errors import CheckpointError
from ddpm_ref.guided_config import GuidedConfig
from ddpm_ref.guided_unet import GuidedUNet

CONFIG = GuidedConfig(
    in_channels=1, out_channels=1, model_channels=32, first_width=32, widths=(32,), layers=1, attention=(False,),
    scale_shift=False, resblock_updown=False, classes=None, heads=1, head_channels=None, attention_order="new",
)  # fmt: skip
TOML = 'image_size = 8\nheads = 1\nbetas = "linear:1000:1e-4:0.02"\nprediction = "eps"\nvariance = "fixed_small"\n'
COUNTERS = {"initted": torch.tensor(True), "step": torch.tensor(7)}
ADAM = {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]}


def network(seed=0):
    torch.manual_seed(seed)
    return {name: weight + 0.1 * torch.randn_like(weight) for name, weight in GuidedUNet(CONFIG).state_dict().items()}


def under(prefix, weights):
    return {prefix + name: weight for name, weight in weights.items()}


def saved(folder, content, toml=TOML):
    torch.save(content, folder / "w.pt")
    (folder / "w.toml").write_text(toml)
    return folder / "w.pt"


PLAIN, AVERAGE = network(0), network(1)
LUCIDRAINS = {  # `Trainer.save`: the diffusion with its buffers, and ema-pytorch's two copies of it
    "step": 4,
    "model": under("model.", PLAIN) | {"betas": torch.linspace(1e-4, 0.02, 1000), "loss_weight": torch.ones(1000)},
    "opt": ADAM,
    "ema": under("online_model.model.", PLAIN) | under("ema_model.model.", AVERAGE) | COUNTERS,
    "scaler": None,
    "version": "2.2.5",
}  # fmt: skip
LITEMA = {f"model_ema.diffusion_model{name.replace('.', '')}": weight for name, weight in AVERAGE.items()}
COMPVIS = {"state_dict": under("model.diffusion_model.", PLAIN) | under("", LITEMA), "epoch": 3}


@pytest.mark.parametrize(
    "content",
    [
        under("net.denoiser.module.", PLAIN),
        under("_orig_mod.", PLAIN),
        {name.replace(".0.", ".0._orig_mod.", 1): weight for name, weight in PLAIN.items()},
        {"trainer": {"nested": {"state_dict": PLAIN}}, "step": 5},
        {"model": PLAIN, "ema": PLAIN},
        {"model": PLAIN, "optimizer": ADAM, "lr": 1e-3},
        under("module.", PLAIN) | {"n_averaged": torch.tensor(3)},
        PLAIN | {"alphas_cumprod": torch.ones(1000), "loss_weight": torch.ones(1000)},
    ],
    ids=["any prefix", "compiled", "compiled inside", "nested", "the same twice", "optimizer", "swa", "buffers"],
)
def test_the_only_network_of_a_file_is_found_under_any_prefix(tmp_path, content):
    assert open_source(saved(tmp_path, content)).weights_sha256 == weights_sha256(PLAIN)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "names", "name"),
    [
        ({"model": PLAIN, "ema": AVERAGE}, ["model", "ema"], "ema"),
        ({"state_dict": under("model.", PLAIN) | under("ema.", AVERAGE)}, ["model", "ema"], "ema"),
        ({**PLAIN, "average": AVERAGE}, [".", "average"], "average"),
        (COMPVIS, ["model_ema"], "model_ema"),
        (LUCIDRAINS, ["model", "ema"], "ema_model"),
    ],
    ids=["dictionaries", "prefixes", "beside the top", "CompVis", "lucidrains"],
)
def test_the_error_for_two_networks_names_both_and_a_name_selects_one(tmp_path, content, names, name):
    path = saved(tmp_path, content)
    with pytest.raises(CheckpointError, match="contains several networks") as caught:
        open_source(path)
    assert all(name in str(caught.value) for name in names)
    assert open_source(path, weights=name).weights_sha256 == weights_sha256(AVERAGE)
    saved(tmp_path, content, f'{TOML}weights = "{name}"\n')
    assert open_source(path).weights_sha256 == weights_sha256(AVERAGE)
    with pytest.raises(CheckpointError, match="none is called 'averag'"):
        open_source(path, weights="averag")


def test_an_unknown_name_is_refused_even_for_one_network(tmp_path):
    with pytest.raises(CheckpointError, match="contains no weights called 'ema', only: net"):
        open_source(saved(tmp_path, under("net.", PLAIN)), weights="ema")


def test_the_candidate_that_fits_is_read_and_the_other_is_named(tmp_path):
    part = {name: weight for name, weight in AVERAGE.items() if name != "out.2.bias"}
    source = open_source(saved(tmp_path, {"model": PLAIN, "ema": part}))
    assert source.weights_sha256 == weights_sha256(PLAIN)
    assert any("'ema' does not fit" in note and "out.2.bias" in note for note in source.notes)


def test_tensors_that_are_not_used_are_named(tmp_path):
    content = {"net": PLAIN, "betas": torch.full((1000,), 0.01), "step": torch.tensor(3), "lpips": {"w": torch.ones(2)}}
    notes = "\n".join(open_source(saved(tmp_path, content)).notes)
    assert "those of 'net'" in notes
    assert "betas, step" in notes
    assert "1 tensors of lpips" in notes
    assert "file's betas, 1000 from 0.01 to 0.01, differ from the betas in use" in notes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ADAM, "state of an optimizer"),
        ({"net": PLAIN, "first_stage_model": {"decoder": {"weight": torch.ones(2)}}}, "first_stage_model.*latents"),
        (PLAIN | {"vae.decoder.conv_in.weight": torch.ones(2)}, "vae.*latents"),
        (PLAIN | {"out.2.bias": torch.tensor([float("inf")])}, "'out.2.bias' is not finite"),
        (PLAIN | {"out.2.bias": torch.tensor([1e300], dtype=torch.float64)}, "'out.2.bias' is not finite"),
        (PLAIN | {"out.2.bias": torch.ones(1, dtype=torch.int8)}, "'out.2.bias' is torch.int8; quantised"),
        (PLAIN | {"out.2.weight": torch.ones(1).expand(1, 32, 3, 3)}, "'out.2.weight' is sparse"),
        ({"shadow_params": [1, 2], "decay": 0.99}, "but no tensors"),
        (PLAIN | {"input_blocks.99999999999.0.weight": torch.ones(1)}, "contain 'input_blocks.99999999999"),
    ],
)
def test_a_file_that_is_not_a_pixel_network_is_a_one_line_error_with_the_reason(tmp_path, content, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        open_source(saved(tmp_path, content))
    assert "\n" not in str(caught.value)


def test_an_absurd_width_is_refused_before_the_network_is_built(tmp_path):
    wide = PLAIN | {"input_blocks.1.0.in_layers.2.weight": torch.ones(1 << 20, 1, 1, 1)}
    with pytest.raises(CheckpointError, match=r"w\.pt"):
        open_source(saved(tmp_path, wide))


def test_names_are_shortened_by_their_common_parts():
    assert shortened(["model.model", "ema.online.model", "ema.best.model"]) == [
        "model",
        "ema.online",
        "ema.best",
    ]
    assert shortened([".", "ema"]) == [".", "ema"]
    assert shortened(["a.b"]) == ["a.b"]


def test_an_ambiguous_name_is_refused(tmp_path):
    selection = Selection(tmp_path, "ema")
    with pytest.raises(CheckpointError, match="online, average"):
        selection.pick({"model": 0, "ema.online": 1, "ema.average": 2})


def test_a_compressed_or_foreign_zip_is_refused(tmp_path):
    torch.save(PLAIN, tmp_path / "w.pt")
    with (
        zipfile.ZipFile(tmp_path / "w.pt") as old,
        zipfile.ZipFile(tmp_path / "z.pt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as other:
        other.writestr("a.txt", "text")
    torch.jit.script(torch.nn.Linear(1, 1)).save(tmp_path / "script.pt")
    for name, message in (("z.pt", "compressed"), ("other.pt", "not one that"), ("script.pt", "TorchScript")):
        with pytest.raises(CheckpointError, match=message):
            read_state(tmp_path / name)


def test_the_anchor_must_be_a_whole_name():
    layout = candidates.Layout("time_embed.0.weight", lambda weights: True, load=guided.load)
    found = candidates.find({"mytime_embed.0.weight": torch.ones(1, 1)}, {"guided": layout})
    assert not found.candidates
