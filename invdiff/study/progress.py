"""Progress bars with the time left, fed by callbacks."""

from __future__ import annotations

from invdiff.samplers.base import Progress

__all__ = ["StepBar", "Trace"]


class Trace:
    """A progress bar that shows the misfit, and keeps it.

    Args:
        title: Of the bar.
        num_steps: Steps in all.
    """

    def __init__(self, title: str, num_steps: int) -> None:
        from tqdm import tqdm

        self.misfits: list[float] = []
        self._bar = tqdm(desc=title, total=num_steps, unit="step", dynamic_ncols=True)

    def __call__(self, progress: Progress) -> None:
        """Move on by a step; the first that is reported may be one in the middle of a run."""
        if not self.misfits and progress.step:
            # steps of an earlier attempt say nothing about the time that the others will take
            self._bar.reset()
            self._bar.initial = self._bar.n = progress.step
        self.misfits.append(float(progress.misfit.mean()))
        self._bar.set_postfix_str(f"misfit {self.misfits[-1]:.2f}", refresh=False)
        self._bar.update()

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()


class StepBar:
    """A progress bar of plain steps.

    Args:
        title: Of the bar.
    """

    def __init__(self, title: str) -> None:
        from tqdm import tqdm

        self._bar = tqdm(desc=title, unit="step", dynamic_ncols=True)

    def step(self, num_steps: int) -> None:
        """Move on by a step of so many."""
        self._bar.total = num_steps
        self._bar.update()

    def say(self, text: str) -> None:
        """Show a few words beside the bar from the next step on."""
        self._bar.set_postfix_str(text, refresh=False)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()
