"""Super-resolution by conditional diffusion ODEs, and the boundary condition they start from."""
