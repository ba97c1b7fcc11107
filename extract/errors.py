"""Bad input is one clear line and exit code 2; anything else is a bug and keeps its traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class InputError(Exception):
    """The user's input is wrong.

    The text is one line: which file, which line or frame, what was found, what was expected, what to do.
    """


@contextmanager
def exits() -> Iterator[None]:
    """Turn an InputError into one line on stderr and exit code 2; Ctrl-C into a hint and exit code 130."""
    try:
        yield
    except InputError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted: what was finished is kept; the same command goes on from there", file=sys.stderr)
        sys.exit(130)
