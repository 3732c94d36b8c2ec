"""A module with an input that its card lacks is not exported."""

import pytest
import torch
from tiny_unet import CONFIG, tiny_card, tiny_unet
from torch import nn

from ddpm_export.graph.module_call import check_module_inputs
from ddpm_ref.unet import UNet
from ddpm_rt import DdpmRtError


class SelfConditioned(nn.Module):
    def forward(self, x, t, x_self_cond=None):
        return x if x_self_cond is None else x + x_self_cond


class Unused(nn.Module):
    """lucidrains' network always has this argument, even if it was trained without it."""

    def forward(self, x, t, x_self_cond=None):
        return 2 * x


class Context(nn.Module):
    def forward(self, x, t, *, context=None):
        return x if context is None else x * context.mean(dim=(1, 2))[:, None, None, None]


class Needed(nn.Module):
    def forward(self, x, t, low_resolution):
        return x + low_resolution


class Switch(nn.Module):
    def forward(self, x, t, train=False, *rest, **more):
        return x


class Wrapper(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = SelfConditioned()

    def forward(self, x, t):
        return self.inner(x, t)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (SelfConditioned(), "x_self_cond"),
        (nn.DataParallel(SelfConditioned()), "x_self_cond"),
        (torch.compile(SelfConditioned()), "x_self_cond"),
        (Context(), "context"),
        (Needed(), "low_resolution"),
    ],
    ids=["optional", "parallel", "compiled", "keyword", "required"],
)
def test_an_input_that_the_card_lacks_is_named(module, name):
    with pytest.raises(DdpmRtError, match=f"'{name}'.*forward takes only .x, t."):
        check_module_inputs(module, tiny_card())


@pytest.mark.parametrize(
    "module", [Unused(), Switch(), Wrapper(), tiny_unet()], ids=["unused", "switch", "wrapper", "unet"]
)
def test_an_input_without_effect_may_be_left_out(module):
    assert check_module_inputs(module, tiny_card()) is None


def test_the_networks_of_this_project_check_their_labels_themselves():
    assert not CONFIG.labelled
    with pytest.raises(ValueError, match="needs labels"):
        UNet(CONFIG)(torch.zeros(1, 1, 8, 8), torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
