import dataclasses

import numpy as np
import onnx
import pytest
import torch
from command import run
from tiny_unet import DIGITS, tiny_card, tiny_unet

from ddpm_export.graph.simplify import make_reshapes_constant
from ddpm_export.onnx_export import ExportOptions, export_onnx, weights_of_onnx
from ddpm_ref import betas as schedules
from ddpm_ref.checkpoint import Checkpoint, save_checkpoint, weights_sha256
from ddpm_ref.recipe import load_preset
from ddpm_rt import DdpmRtError, open_denoiser

SMALL = {"sample_size": 16, "block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4}
BLOCKS = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
CONFIGS = {
    "google": dataclasses.replace(load_preset("cifar10").model, **SMALL, **BLOCKS),
    "train_unconditional": dataclasses.replace(
        load_preset("cifar10").model,
        **SMALL,
        **BLOCKS,
        attention_head_dim=8,
        norm_eps=1e-5,
        downsample_padding=1,
        flip_sin_to_cos=True,
        freq_shift=0,
    ),
    "digits": DIGITS,
}


NETWORKS = [pytest.param(name, marks=[pytest.mark.slow] * (name != "google")) for name in CONFIGS]


def random_unet(config, seed=0):
    return tiny_unet(seed, config)


def card_for(config):
    return tiny_card(config, source="test")


@pytest.fixture(scope="module", params=NETWORKS)
def network(request, shared):
    """A module and its exported file."""
    model = random_unet(CONFIGS[request.param])

    def make(folder):
        export_onnx(model, card_for(model.config), folder / "unet.onnx")

    return model, shared.folder(f"unet-{request.param}", make) / "unet.onnx"


@pytest.mark.slow
def test_equal_weights_can_be_read_back_too(tmp_path):
    """The biases of a shortcut and its branch are always equal, and the exporter keeps only one of them."""
    model = random_unet(CONFIGS["google"])
    block = model.down_blocks[1].resnets[0]
    with torch.no_grad():
        block.conv_shortcut.bias.copy_(block.conv2.bias)
    export_onnx(model, card_for(model.config), tmp_path / "unet.onnx")
    found = weights_of_onnx(tmp_path / "unet.onnx")
    for name, weight in model.state_dict().items():
        assert torch.equal(found[name].reshape(weight.shape), weight), name


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_onnx_runtime_gives_the_output_of_torch(network, batch):
    model, path = network
    shape = card_for(model.config).image_shape
    x = np.random.default_rng(batch).standard_normal((batch, *shape)).astype(np.float32)
    t = np.linspace(0, 999, batch).astype(np.int64)
    with torch.no_grad():
        expected = model(torch.from_numpy(x), torch.from_numpy(t)).numpy()
    # float32 sums in another order, outputs of size one.
    np.testing.assert_allclose(open_denoiser(path)(x, t), expected, rtol=0, atol=1e-5)


def test_the_file_contains_the_card_with_the_measured_error(network):
    model, path = network
    card = open_denoiser(path).card
    parity = card.provenance.parity
    assert 0 < parity["max_abs_error"] < 1e-5 < parity["max_abs_out"]
    unmeasured = dataclasses.replace(card, provenance=dataclasses.replace(card.provenance, parity={}))
    assert unmeasured == card_for(model.config)


def test_the_weights_can_be_read_back_to_the_bit(network):
    model, path = network
    found = weights_of_onnx(path)
    for name, weight in model.state_dict().items():
        assert torch.equal(found[name].reshape(weight.shape), weight), name


def test_the_graph_is_plain_and_has_no_traces_of_the_machine(network):
    _, path = network
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import] == [18]
    kinds = {node.op_type for node in model.graph.node}
    assert "Shape" not in kinds  # reshapes are constant where only the batch is unknown
    assert {"InstanceNormalization", "Softmax", "MatMul"} <= kinds
    assert not kinds & {"GroupNormalization", "Attention"}
    content = path.read_bytes()
    for trace in (b"/home", b"/usr", b"site-packages", b"stack_trace", b"pkg.torch", b".py"):
        assert trace not in content


@pytest.mark.slow
def test_two_exports_of_the_same_weights_are_the_same_file(exported, tmp_path):
    export_onnx(tiny_unet(), tiny_card(), tmp_path / "unet.onnx", ExportOptions(threads=1))
    assert (tmp_path / "unet.onnx").read_bytes() == exported("fp32", hoist=False).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("opset", [19, 21])
def test_other_opsets_give_the_same_output(tmp_path, opset):
    export_onnx(tiny_unet(), tiny_card(), tmp_path / "unet.onnx", ExportOptions(opset=opset))
    assert onnx.load(tmp_path / "unet.onnx").opset_import[0].version == opset


@pytest.mark.slow
def test_a_static_batch_is_fixed_in_the_file(tmp_path):
    model = tiny_unet()
    export_onnx(model, tiny_card(), tmp_path / "unet.onnx", ExportOptions(static_batch=4))
    denoise = open_denoiser(tmp_path / "unet.onnx")
    assert denoise.static_batch == 4
    x, t = np.random.default_rng(0).standard_normal((6, 1, 8, 8)).astype(np.float32), np.arange(6) * 100
    with torch.no_grad():
        expected = model(torch.from_numpy(x), torch.from_numpy(t)).numpy()
    np.testing.assert_allclose(denoise(x, t), expected, rtol=0, atol=1e-5)


class Forgetful(torch.nn.Module):
    """A module whose scale comes from a counter, which tracing freezes."""

    def __init__(self):
        super().__init__()
        self.calls = 0
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x, t):
        self.calls += 1
        return self.weight * x * self.calls + 0.0 * t.float()[:, None, None, None]


class Poisoned(torch.nn.Module):
    def forward(self, x, t):
        return x / (t.float()[:, None, None, None] - 500)


class Branching(torch.nn.Module):
    def forward(self, x, t):
        return x if float(x.sum()) > 0 else -x


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "message"), [(Forgetful(), "differs"), (Poisoned(), "finite"), (Branching(), "cannot export")]
)
def test_an_export_that_differs_from_the_model_fails_and_leaves_no_file(tmp_path, module, message):
    with pytest.raises(DdpmRtError, match=message) as caught:
        export_onnx(module, card_for(DIGITS), tmp_path / "unet.onnx")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"), [({"opset": 17}, "opset"), ({"opset": 23}, "opset"), ({"static_batch": 0}, "batch")]
)
def test_options_out_of_range_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        export_onnx(random_unet(DIGITS), card_for(DIGITS), tmp_path / "unet.onnx", ExportOptions(**options))


@pytest.fixture(scope="module")
def checkpoint(shared):
    made = Checkpoint(tiny_unet(), schedules.cosine(1000), "v", "fixed_small", (-1.0, 1.0))
    return shared.folder("checkpoint", lambda folder: save_checkpoint(folder / "digits", made)) / "digits"


@pytest.mark.slow
def test_the_command_writes_a_model_that_samples(checkpoint, tmp_path):
    result = run("export", checkpoint, "-o", tmp_path / "unet.onnx")
    assert result.exit_code == 0, result.output
    assert "of PyTorch" in result.stdout
    card = open_denoiser(tmp_path / "unet.onnx").card
    assert (card.prediction, card.clip, card.provenance.source) == ("v", (-1.0, 1.0), "digits")
    assert card.betas == tuple(schedules.cosine(1000).tolist())
    weights = weights_of_onnx(tmp_path / "unet.onnx")
    own = tiny_unet().state_dict()
    assert weights_sha256({name: weights[name] for name in own}) == card.provenance.weights_sha256
    assert run("sample", "--engine", tmp_path / "unet.onnx", "--steps", 2, "--out", tmp_path / "x.png").exit_code == 0


@pytest.mark.parametrize(
    ("damage", "options", "message"),
    [
        ("no folder", (), "does not exist"),
        ("no weights", (), "safetensors is missing"),
        ("no config", (), "config.json is missing"),
        (None, ("--opset", 30), "opset"),
        pytest.param(None, ("--tolerance", 0), "differs from PyTorch", marks=pytest.mark.slow),
        (None, ("-o", "no/such/folder/unet.onnx"), "not a folder"),
    ],
)
def test_a_failed_export_is_a_one_line_error_and_leaves_no_file(checkpoint, tmp_path, damage, options, message):
    import shutil

    source, out = tmp_path / "source", tmp_path / "out"
    out.mkdir()
    if damage != "no folder":
        shutil.copytree(checkpoint, source)
    if damage == "no weights":
        next(source.rglob("*.safetensors")).unlink()
    if damage == "no config":
        (source / "unet" / "config.json").unlink()
    result = run("export", source, "-o", out / "unet.onnx", *options)
    assert result.exit_code == 1
    assert message in result.stderr.strip().splitlines()[-1]
    assert list(out.iterdir()) == []


def test_a_reshape_whose_shapes_are_unknown_keeps_its_computed_shape():
    """The exporter gives no shape for some values, as of the attention of diffusers."""
    nodes = [
        onnx.helper.make_node("Concat", ["n", "n"], ["shape"], axis=0),
        onnx.helper.make_node("Reshape", ["x", "shape"], ["flat"]),
    ]
    values = [onnx.helper.make_tensor_value_info(name, kind, None) for name, kind in (("x", 1), ("n", 7), ("y", 1))]
    nodes.append(onnx.helper.make_node("Identity", ["flat"], ["y"]))
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", values[:2], values[2:]))
    make_reshapes_constant(model)
    assert model.graph.node[1].input[1] == "shape"
