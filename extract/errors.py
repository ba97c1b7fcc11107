"""Bad input is one clear line and exit code 2; anything else is a bug and keeps its traceback."""

from __future__ import annotations

import difflib
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class InputError(Exception):
    """The user's input is wrong.

    The text is one line: which file, which line or frame, what was found, what was expected, what to do.
    """


class Failed(Exception):
    """The work failed for a reason outside the input and outside our code, such as too little memory. One line."""


def did_you_mean(found: object, known: Iterable[str]) -> str:
    """The end of a line about an unknown name: the known one that is most like it; "" where none is."""
    meant = difflib.get_close_matches(str(found), list(known), 1)
    return f"; did you mean {meant[0]!r}?" if meant else ""


@contextmanager
def exits() -> Iterator[None]:
    """InputError becomes one line on stderr and exit code 2, Failed or too little memory 1, Ctrl-C a hint and 130."""
    try:
        yield
    except InputError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except Failed as error:
        print(f"failed: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)
    except MemoryError:
        print("failed: out of memory; what was finished is kept, the same command goes on from there", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(
            f"interrupted: what was finished is kept; the same command goes on from there{_command()}", file=sys.stderr
        )
        sys.exit(130)


def _command() -> str:
    """The command that runs, to be copied; empty where it is no command line of ours."""
    given = sys.orig_argv
    return f": python {shlex.join(given[given.index('-m') :])}" if "-m" in given else ""
