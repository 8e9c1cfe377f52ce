"""Networks of public checkpoints that diffusers cannot express, weight for weight."""
