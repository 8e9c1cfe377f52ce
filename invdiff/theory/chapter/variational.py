"""variational view of the chapter."""

from __future__ import annotations

from invdiff.theory.chapter.fact import Section

__all__ = ["SECTION"]

SECTION = Section(
    "variational",
    "The variational view",
    "A diffusion model is a chain of latent images; its bound and its losses have closed forms.",
    (),
)
