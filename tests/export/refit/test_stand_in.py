"""The stand-in for TensorRT's refitter has the members of the bindings; the real one runs as far as it can."""

import fake_refitter
import pytest
import tensorrt_rtx
from repository import load_script

from ddpm_export.plans.build_options import BuildOptions
from ddpm_export.plans.builder import build_network
from ddpm_export.plans.refitter import refit_engine
from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.plan_record import read_plan
from ddpm_rt.engines.tensorrt_log import make_log


def test_a_plan_whose_weights_can_be_replaced_has_one_profile(source, tmp_path):
    """Refittable engines support only one profile (NvInfer.h, IBuilderConfig::addOptimizationProfile)."""
    with pytest.raises(ValueError, match="one profile"):
        BuildOptions(((1, 1, 1), (4, 4, 4)), refittable=True)
    log = make_log(tensorrt_rtx, None)
    network = build_network(tensorrt_rtx, "rtx", source, "x", BuildOptions(strip_weights=True), None, log=log)
    assert network.profiles == ((1, 16, 16),)


def test_the_real_tensorrt_cannot_open_a_plan_here_and_says_so_in_one_line(plan, source):
    """The real TensorRT-RTX with invalid bytes: all calls before the first one that needs a GPU."""
    log = make_log(tensorrt_rtx, None)
    with pytest.raises(DdpmRtError, match=r"^tensorrt_rtx [\d.]+ cannot open the plan here: .+; see `ddpm-rt doctor`$"):
        refit_engine(tensorrt_rtx, plan.read_bytes(), read_plan(plan), source, log=log)


def test_the_stand_in_has_only_members_of_the_bindings():
    script = load_script("check_tensorrt_api")
    for kind in fake_refitter.PARTS:
        public = {name for name in vars(kind) if not name.startswith("_")}
        assert public <= set(script.USED[kind.__name__]), kind


@pytest.mark.parametrize("order", ["no weights", "parser gone", "not refitted"])
def test_the_stand_in_objects_to_a_wrong_order(plan, source, order):
    trt = fake_refitter.module()
    log = make_log(trt, None)
    runtime = trt.Runtime(log)
    engine = runtime.deserialize_cuda_engine(plan.read_bytes())
    refitter = trt.Refitter(engine, log)
    if order == "no weights":
        assert not refitter.refit_cuda_engine()
        assert "missing" in log.errors[0]
    elif order == "parser gone":
        trt.OnnxParserRefitter(refitter, log).refit_from_file(str(source))
        with pytest.raises(fake_refitter.OutOfOrderError, match="parser"):
            refitter.refit_cuda_engine()
    else:
        config = engine.create_serialization_config()
        with pytest.raises(fake_refitter.OutOfOrderError, match="before"):
            engine.serialize_with_config(config)
