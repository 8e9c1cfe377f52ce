"""Guidance: what a score needs to become that of a conditional law."""

from __future__ import annotations

from invdiff.theory.chapter import (
    guidance_approximations,
    guidance_classifier_free,
    guidance_classifier_free_flow,
    guidance_exact,
    guidance_filling_in,
    guidance_particles,
    guidance_reward,
    guidance_strength,
    rollover,
)
from invdiff.theory.chapter.fact import Section

__all__ = ["SECTION"]

SECTION = Section(
    "guidance",
    "Guidance",
    "What is added to a score to reach a conditional law, and what it reaches instead.",
    (
        *guidance_exact.FACTS,
        *guidance_strength.FACTS,
        *guidance_filling_in.FACTS,
        *guidance_approximations.FACTS,
        *guidance_particles.FACTS,
        *guidance_classifier_free.FACTS,
        *guidance_classifier_free_flow.FACTS,
        *guidance_reward.FACTS,
        *rollover.FACTS,
    ),
)
