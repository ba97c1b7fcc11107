"""Bad input is one clear line and exit code 2; anything else is a bug and keeps its traceback."""

from __future__ import annotations

import errno
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from extract.runtime import limits

PATHS = (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.ENOTDIR, errno.EISDIR)
"""What is wrong with a path: it may be met by the first question about it, before any reader."""


class InputError(Exception):
    """The user's input is wrong.

    The text is one line: which file, which line or frame, what was found, what was expected, what to do. Line ends in
    what libraries say, or stood in the file, are blanks; of a long text the middle is left out.
    """

    def __init__(self, text: str) -> None:
        line = " ".join(text.splitlines())
        cut = len(line) > limits.MESSAGE
        super().__init__(f"{line[: limits.MESSAGE * 3 // 4]} ... {line[-limits.MESSAGE // 4 :]}" if cut else line)


class Failed(Exception):
    """The work failed for a reason outside the input and outside our code, such as too little memory. One line."""


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
    except OSError as error:
        if error.errno not in PATHS or error.filename is None:
            raise
        print(f"error: {InputError(f'{error.filename}: {error.strerror}')}", file=sys.stderr)
        sys.exit(2)
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
