"""The PyTorch reference: the DDPM of Ho et al. 2020, small, slow, trusted. It trains the model and owns its betas."""
