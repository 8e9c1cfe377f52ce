"""The ``invdiff`` command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Annotated

import tyro
from tyro.conf import subcommand

from invdiff.study.benchmark import Bench
from invdiff.study.commands import Demo, List, Report, Run
from invdiff.study.convert import Convert
from invdiff.study.options import expanded
from invdiff.study.reconstruct import Reconstruct
from invdiff.study.sweep_command import SweepCommand
from invdiff.study.theory_command import Theory
from invdiff.study.train_command import Train

__all__ = ["main"]

_Command = (
    Annotated[Run, subcommand("run")]
    | Annotated[Reconstruct, subcommand("reconstruct")]
    | Annotated[Train, subcommand("train")]
    | Annotated[SweepCommand, subcommand("sweep")]
    | Annotated[Demo, subcommand("demo")]
    | Annotated[List, subcommand("list")]
    | Annotated[Report, subcommand("report")]
    | Annotated[Bench, subcommand("bench")]
    | Annotated[Theory, subcommand("theory")]
    | Annotated[Convert, subcommand("convert")]
)
_OPTIONS = (tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff)
# as of a program that is ended by SIGPIPE
_CLOSED = 141
_DESCRIPTION = (
    "Medical image reconstruction with diffusion priors. Start with: invdiff demo --out DIR"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Words of the command line, without the program.

    Returns:
        0; 1 if cells of a sweep have no result or a fact of the theory doesn't hold; 2 for input
        that is refused, with one line on the standard error; 130 if interrupted; 141, silently, if
        nobody reads the standard output any more.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words == ["--version"]:
        print(f"invdiff {version('invdiff')}")
        return 0
    try:
        _parse(words)()
        sys.stdout.flush()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    except (ValueError, OSError) as error:
        if isinstance(error, BrokenPipeError) and _is_output_closed():
            return _CLOSED
        return _refused(str(error) or type(error).__name__, error, 2)
    except MemoryError as error:
        return _refused(f"this needs more memory than there is ({error})", error, 2)
    except KeyboardInterrupt as error:
        return _refused("interrupted", error, 130)
    return 0


def _is_output_closed() -> bool:
    """Return whether the reader of the standard output is gone; then drop what is left for it."""
    try:
        # what failed to be written may be lost, and a flush of nothing tells nothing
        sys.stdout.write("\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # the interpreter flushes once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def _parse(words: Sequence[str]) -> Callable[[], None]:
    command: Callable[[], None] = tyro.cli(
        _Command,
        prog="invdiff",
        description=_DESCRIPTION,
        args=expanded(words),
        config=_OPTIONS,
    )
    return command


def _refused(message: str, error: BaseException, status: int) -> int:
    whole = "; ".join([message, *getattr(error, "__notes__", [])])
    print(f"invdiff: error: {' '.join(whole.split())}", file=sys.stderr)
    return status
