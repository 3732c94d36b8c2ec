"""Which engine a person asked for, as it was typed."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ..engine import Engine
    from .opening import Provider


@dataclass(frozen=True)
class EngineChoice:
    """The model and what is to run it."""

    path: Path | None = None  # none: the bundled model
    threads: int | None = None
    provider: "Provider" = "auto"
    device: int = 0
    stream_steps: bool = False

    @property
    def model(self) -> Path:
        from ..models import bundled_model

        return self.path or bundled_model()

    def opened(self) -> "AbstractContextManager[Engine]":
        """As `ddpm_rt.open_denoiser`, closed at the end of a `with` block."""
        from ..api import opened

        how = {"provider": self.provider, "device": self.device, "stream_steps": self.stream_steps}
        return opened(self.path, threads=self.threads, **how)
