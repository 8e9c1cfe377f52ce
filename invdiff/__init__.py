"""Diffusion-prior reconstruction and its uncertainty."""
