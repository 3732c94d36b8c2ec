"""Sampling on an NVIDIA GPU. Nothing here is imported until an engine on one is asked for."""
