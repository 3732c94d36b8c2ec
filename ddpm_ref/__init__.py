"""The PyTorch reference: a small, plain DDPM (Ho et al. 2020) that trains a model and defines its betas."""
