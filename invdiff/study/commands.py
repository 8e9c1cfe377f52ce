"""The sub-commands: their options, and what each does; heavy imports wait until one runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from invdiff.study.options import OutFolder, SetValues, run_and_print

__all__ = ["Demo", "List", "Report", "Run"]

_DEMO = ("ct_sparse_view", "mri_cartesian")


@dataclass(frozen=True)
class Run:
    """Run an experiment and write its report.

    Args:
        config: A YAML file, or the name of a shipped experiment.
        out: New folder for the results.
        set: Change a value of the configuration, such as sampler.num_steps=50.
        device: Where to compute, such as cuda; as the configuration says (cpu) if not given.
        overwrite: Replace an earlier result in that folder.
        resume: Go on with an interrupted run.
    """

    config: Positional[Annotated[str, arg(metavar="CONFIG")]]
    out: OutFolder
    set: SetValues = ()
    device: Annotated[str | None, arg(metavar="DEVICE")] = None
    overwrite: bool = False
    resume: bool = False

    def __call__(self) -> None:
        """Run it."""
        from invdiff.study.load import load_study

        device = () if self.device is None else (f"device={self.device}",)
        experiment = load_study(self.config, (*self.set, *device))
        run_and_print(experiment, self.out, self.overwrite, self.resume)


@dataclass(frozen=True)
class Demo:
    """Reconstruct a patient's CT and MR slice, and put both on one page.

    Args:
        out: New folder for the results.
        set: Change a value of both configurations, such as sampler.num_steps=50.
        device: Where to compute, such as cuda.
        overwrite: Replace an earlier demo in that folder.
        resume: Go on with an interrupted demo.
    """

    out: OutFolder
    set: SetValues = ()
    device: str = "cpu"
    overwrite: bool = False
    resume: bool = False

    def __call__(self) -> None:
        """Run it."""
        from invdiff.study.load import load_experiment
        from invdiff.study.report import write_index

        overrides = (*self.set, f"device={self.device}")
        experiments = {name: load_experiment(name, overrides) for name in _DEMO}
        for name, experiment in experiments.items():
            run_and_print(experiment, self.out / name, self.overwrite, self.resume)
        page = write_index(self.out, _DEMO, "Reconstruction with diffusion priors")
        print(f"\nOpen {page.resolve()} in a browser; it needs no network.")


@dataclass(frozen=True)
class List:
    """List priors, samplers, operators, samples and experiments."""

    def __call__(self) -> None:
        """Print it."""
        from invdiff.study.catalogue import catalogue

        print(catalogue())


@dataclass(frozen=True)
class Report:
    """Draw the figures and the report of a result or a sweep again.

    Args:
        folder: What another command wrote.
        markdown: Print the numbers as Markdown instead, for a paper or a notebook.
    """

    folder: Positional[OutFolder]
    markdown: bool = False

    def __call__(self) -> None:
        """Draw it."""
        if self.markdown:
            from invdiff.study.markdown import as_markdown

            print(as_markdown(self.folder))
            return
        if (self.folder / "sweep.yaml").is_file():
            from invdiff.study.sweep.report import write_sweep_report

            write_sweep_report(self.folder, {})
            print(f"report: {(self.folder / 'report.html').resolve()}")
            return
        from invdiff.study.load import is_scripted
        from invdiff.study.report import write_report
        from invdiff.study.run_scripted import write_study_report

        write = write_study_report if is_scripted(self.folder) else write_report
        print(f"report: {write(self.folder).resolve()}")
