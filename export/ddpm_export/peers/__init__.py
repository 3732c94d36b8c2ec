"""Networks of other projects, as their own code builds them: a module and a card for `export_onnx`.

>>> from ddpm_export.peers import lucidrains
>>> module, card = lucidrains.adapt(diffusion)  # a GaussianDiffusion with its weights
>>> export_onnx(module, card, "unet.onnx")

Each module here reads one project's objects. None imports the project: the caller has it.
"""
