"""What all commands share: the options that mean the same everywhere, and how a command starts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from extract.runtime import errors, process

UsageError: Any = typer.BadParameter.__bases__[0]
"""Of typer's own copy of click, where it has one."""
COMMAND_LINES = ("python -m", "affect-heads")
MOST_SEED = 2**31 - 1
"""Seeds of single members and folds are larger, and libraries take whole numbers of 64 bits."""
ConfigFile = Annotated[Path, typer.Option(help="The run's TOML file.", show_default="configs/demo.toml")]
"""Help texts are alike on every machine: the default is shown as the project's own path."""
Work = Annotated[Path | None, typer.Option(help="Work folder; default runs/<corpus name>.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="key.path=value, overrides the config; can be repeated.")
]
Redo = Annotated[bool, typer.Option("--redo", help="Make the network anew, though it is finished or begun.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON alone.")]
AsMarkdown = Annotated[bool, typer.Option("--markdown", help="Print the table for a README.")]


class Command(typer.core.TyperCommand):
    """A command whose line about wrong arguments ends with its first example."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        """As typer does. Raises a UsageError that says what the option takes, and shows an example."""
        try:
            return super().parse_args(ctx, args)
        except UsageError as error:
            takes = getattr(getattr(error, "param", None), "help", None) or ""
            said = [text.rstrip(".") for text in (error.format_message(), takes) if text]
            lines = (line.strip() for line in (self.epilog or "").splitlines())
            example = next(
                (line.partition("  ")[0].replace(r"\[", "[") for line in lines if line.startswith(COMMAND_LINES)), ""
            )
            raise UsageError(": ".join(said) + (f"; for example: {example}" if example else ""), error.ctx) from error


def application(command: Callable[..., None], examples: str) -> typer.Typer:
    """A program of one command, whose help ends with examples: each a paragraph, or they would be joined."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    epilog = re.sub(rf"\n+(?={'|'.join(COMMAND_LINES)})", "\n\n", examples)
    app.command(epilog=epilog.replace("[", r"\["), cls=Command)(command)  # else [corpus.au] is taken for markup
    return app


def start(command: Callable[..., None], examples: str, arguments: Sequence[str] | None = None) -> Any:
    """Run a command with what stands on the command line, or with `arguments`; ends the process."""
    process.freeze_imports()
    with errors.exits():  # also where its help finds a full disk
        return application(command, examples)(arguments)
