"""`python -m ddpm_ref` is `ddpm-rt train`, in the form that torchrun and accelerate can launch."""

from .cli import train

train(prog_name="python -m ddpm_ref")
