"""`python -m ddpm_rt` is `ddpm-rt`."""

from .cli import main

main(prog_name="ddpm-rt")
