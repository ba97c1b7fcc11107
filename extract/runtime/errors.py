"""Bad input is one clear line and exit code 2; anything else is a bug and keeps its traceback."""

from __future__ import annotations

import difflib
import errno
import os
import re
import select
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

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


COMMAND_PREFIXES = ("python -m ", "affect-heads ")
"""How command lines of ours begin."""
NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
"""What a disk says that takes no more."""


class WorkError(Exception):
    """The work failed for a reason outside the input and outside our code, such as too little memory. One line."""


def did_you_mean(result: object, known: Iterable[str]) -> str:
    """The end of a line about an unknown name: the known one that is most like it in any case, or ""."""
    folded = {name.casefold(): name for name in known}
    meant = difflib.get_close_matches(str(result).casefold(), folded, 1)
    return f"; did you mean {folded[meant[0]]!r}?" if meant else ""


def hide_password(url: str) -> str:
    """An address without its user, password and the query's values: messages are copied to others.

    Passwords may hold any sign: where a `?`, nothing is left but the kind of address. What is no address stays as it
    is.
    """
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    place, mark, query = rest.partition("?")
    if "@" in query:
        return f"{scheme}://***"
    if "@" in place:
        place = f"***@{place.rpartition('@')[2]}"
    return f"{scheme}://{re.sub('=[^&]*', '=***', place + mark + query)}"


@contextmanager
def exits() -> Iterator[None]:
    """InputError becomes one line on stderr and exit code 2, WorkError or too little memory 1, Ctrl-C a hint and 130.

    A disk that takes no more is bad input, too. Where nobody reads our output any more (`| head -1`), it ends with 1,
    without a word.
    """
    _open_streams()
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError as error:
        if not _nobody_reads():
            raise
        raise SystemExit(1) from error
    except InputError as error:
        _end(2, f"error: {' '.join(str(error).split())}")
    except WorkError as error:
        _end(1, f"failed: {' '.join(str(error).split())}")
    except OSError as error:
        _end(2, f"error: {InputError(_why(error))}")
    except MemoryError:
        _end(1, "failed: out of memory; what was finished is kept, the same command goes on from there")
    except KeyboardInterrupt:
        _end(130, f"interrupted: what was finished is kept; the same command goes on from there{_command()}")


def _end(code: int, line: str) -> NoReturn:
    print(line, file=sys.stderr)
    sys.exit(code)


def warn(text: str) -> None:
    """Say on stderr what the user should know, and go on."""
    print(f"warning: {text}", file=sys.stderr)


def _why(error: OSError) -> str:
    """What an error of the system says of the input, in words. Raises the error itself where it says nothing of it."""
    if error.errno in NO_SPACE:
        _nobody_reads()  # nor is anything written where stdout is on that disk
        what = f"{error.filename}: cannot be written" if error.filename else "cannot write"
        return f"{what} ({error.strerror}); free some space or choose another folder"
    if error.errno in PATHS and error.filename is not None:
        above = next((folder for folder in Path(os.fsdecode(error.filename)).parents if folder.is_file()), None)
        if error.errno == errno.ENOTDIR and above is not None:
            return f"{above}: found a file, expected a folder; choose another, or move the file"
        return f"{error.filename}: {error.strerror}"
    raise error


def _open_streams() -> None:
    """Give output that was closed (`>&-`) to nobody: the next file that is opened must not take its place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w" if number else "r", encoding="utf-8"))  # noqa: SIM115


def _nobody_reads() -> bool:
    """Whether stdout or stderr takes nothing any more; what waits to be written there goes nowhere from then on."""
    result = False
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
            taken = not _is_left(number)
        except OSError:
            taken = False
        if not taken:
            result = True
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)
    return result


def _is_left(number: int) -> bool:
    """Whether a file number is a pipe whose reader has gone."""
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(number, select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def describe_command() -> str:
    """The command line that runs, to be copied, without passwords: `python -m ...`, or a script with its arguments."""
    given = [hide_password(word) for word in sys.orig_argv]
    if "-m" in given:
        return shlex.join(["python", *given[given.index("-m") :]])
    return shlex.join([*map(os.path.basename, given[1:2]), *given[2:]])


def _command() -> str:
    """The same behind a colon; empty where it is no command of ours."""
    command = describe_command()
    return f": {command}" if command.startswith(COMMAND_PREFIXES) else ""
