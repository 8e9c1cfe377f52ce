"""Guidance of the chapter."""

from __future__ import annotations

from invdiff.theory.chapter import (
    guidance_classifier_free,
    guidance_gaussian,
    guidance_particles,
    guidance_restoration,
    guidance_reward,
)
from invdiff.theory.chapter.fact import Section

__all__ = ["SECTION"]

SECTION = Section(
    "guidance",
    "Guidance",
    "What is added to a score to reach a conditional law, and what it reaches instead.",
    (
        *guidance_gaussian.FACTS,
        *guidance_restoration.FACTS,
        *guidance_particles.FACTS,
        *guidance_classifier_free.FACTS,
        *guidance_reward.FACTS,
    ),
)
