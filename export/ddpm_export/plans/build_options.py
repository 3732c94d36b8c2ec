"""The options of `ddpm-rt build`, and the options that each flavour of TensorRT lacks."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from ddpm_rt.artifacts.plan_build import Flavour, Profile
from ddpm_rt.device.lanes import MAX_LANES

Compatibility = Literal["ampere+", "same"]

# The options that a flavour lacks. TensorRT-RTX ignores a timing cache and hardware compatibility, and has no lean
# runtime. TensorRT builds only for the GPU that it runs on.
LACKS: dict[Flavour, tuple[str, ...]] = {
    "tensorrt": ("compute_capability",),
    "rtx": ("timing_cache", "version_compatible", "hardware_compatible"),
}
WORKSPACE = (2**63 - 1) >> 20  # MiB: the number of bytes must fit an int64
ELSEWHERE = ("batch", "compute_capability")  # options that the record stores in its own fields


@dataclass(frozen=True)
class BuildOptions:
    """The options of a build. Raises ValueError when they are invalid or exclude each other."""

    batch: tuple[Profile, ...] | None = None  # profiles (smallest, best, largest); None: 1 and 16, or the graph's own
    compute_capability: tuple[str, ...] = ()  # such as 8.9; empty: the flavour's default
    tf32: bool = False  # float32 products on tensor cores, with 10 bits of mantissa
    refittable: bool = False
    strip_weights: bool = False
    version_compatible: bool = False
    hardware_compatible: Compatibility | None = None
    level: int | None = None  # TensorRT's optimisation level, 0 to 5
    workspace: int | None = None  # MiB
    timing_cache: bool = False  # whether a timing cache is used; its path is not a fact about the plan

    def __post_init__(self) -> None:
        for low, best, high in self.batch or ():
            if not 1 <= low <= best <= high:
                raise ValueError(f"batch {low}:{best}:{high} is not MIN:OPT:MAX with 1 <= MIN <= OPT <= MAX")
            if high > MAX_LANES:
                raise ValueError(f"batch must be at most {MAX_LANES}, the largest that can be sampled, not {high}")
        for name in ELSEWHERE:
            given = getattr(self, name) or ()
            if len(set(given)) < len(given):
                raise ValueError(f"{name.replace('_', ' ')} has a duplicate value; leave one out")
        if self.level is not None and not 0 <= self.level <= 5:
            raise ValueError(f"level must be 0 to 5, not {self.level}")
        if self.workspace is not None and not 1 <= self.workspace <= WORKSPACE:
            raise ValueError(f"workspace must be 1 to {WORKSPACE} MiB, not {self.workspace}")
        if self.refittable and self.strip_weights:
            raise ValueError("refittable and strip_weights exclude each other: a stripped plan can always be refitted")
        if self.replaceable and len(self.batch or ()) > 1:
            raise ValueError(
                "a plan whose weights can be replaced takes one profile; give one --batch, such as 1:16:16"
            )

    @property
    def replaceable(self) -> bool:
        """Whether `ddpm-rt refit` can set the plan's weights."""
        return self.refittable or self.strip_weights

    def check_flavour(self, flavour: Flavour) -> None:
        """Raises ValueError for an option that `flavour` lacks."""
        for name in LACKS[flavour]:
            if getattr(self, name):
                title = {"tensorrt": "TensorRT", "rtx": "TensorRT-RTX"}[flavour]
                raise ValueError(f"{title} has no --{name.replace('_', '-')}; leave it out or choose another --flavour")

    def record(self) -> dict[str, Any]:
        """The options as JSON values for the plan's record, which stores the compute capabilities separately."""
        batch = ",".join(batch_text(profile) for profile in self.batch or ()) or None
        return {"batch": batch, **{name: value for name, value in asdict(self).items() if name not in ELSEWHERE}}


def batch_text(profile: Profile) -> str:
    """A profile in the form of the command line: `4` or `1:8:64`."""
    low, best, high = profile
    return str(low) if low == high else f"{low}:{best}:{high}"


def parse_batch(text: str) -> tuple[Profile, ...]:
    """The profiles of `1,4,16` (one static profile per size) or `1:8:64` (a range). Raises ValueError otherwise."""
    profiles: list[Profile] = []
    for part in text.split(","):
        try:
            sizes = [int(size) for size in part.split(":")]
        except ValueError:
            sizes = []
        if len(sizes) not in (1, 3):
            raise ValueError(f"batch must be sizes such as 1,4,16, or MIN:OPT:MAX, not {text!r}")
        profiles.append((sizes[0], sizes[len(sizes) // 2], sizes[-1]))
    return tuple(profiles)
