"""The command `affect-heads`: every other command under one name, loaded when it is asked for."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import typer

from extract.runtime import cli, errors, process
from extract.runtime.errors import did_you_mean


@dataclass(frozen=True)
class Command:
    """A command's module, its line in the list of commands, and whether that list shows it."""

    module: str
    about: str
    is_hidden: bool = False


COMMANDS = {
    "run": Command("blend.run", "Frames and annotations -> a checked submission and a report."),
    "init": Command("blend.init", "Write a config for your data."),
    "predict": Command("blend.predict", "Trained blends, or a network by itself, on any video."),
    "check": Command("blend.check", "Would the organisers take this file?"),
    "apply": Command("blend.apply", "A blend's params.json on prediction files: the same submission."),
    "compare": Command("blend.compare", "Blends side by side, and by how much one is better."),
    "extract": Command("extract.run", "Frames -> features only."),
    "heads": Command("heads.run", "Train heads only."),
    "tune": Command("heads.tune", "Search a head's settings."),
    "pretrain": Command("extract.pretrain", "Pre-train a masked autoencoder on faces without labels."),
    "finetune": Command("heads.finetune", "Fine-tune a network on the training videos."),
    "dashboard": Command("blend.dashboard", "Open a search in optuna-dashboard."),
    "import": Command("extract.tabular", "Tables of other programs (OpenFace, py-feat, ...) -> features."),
    "enlarge": Command("extract.enlarge", "Super-resolution of face crops, before a network sees them."),
    "export": Command("extract.export", "Features -> one table for other programs."),
    "splits": Command(
        "blend.studies.splits", "Random splits by person: what was promised and reached.", is_hidden=True
    ),
    "simulate": Command("blend.studies.simulate", "What estimates are worth on made videos.", is_hidden=True),
    "bench-extract": Command("extract.bench", "Speed and memory of extraction.", is_hidden=True),
    "bench-heads": Command("heads.bench", "Speed and memory of the heads.", is_hidden=True),
    "bench-blend": Command("blend.bench", "Speed and memory of the blend.", is_hidden=True),
}
EXAMPLES = """\b
Examples:
  affect-heads run --task au                           the embedded corpus
  affect-heads init /data/ABAW --out mine.toml         a config for your data
  affect-heads run --task au --config mine.toml
  affect-heads predict clip.mp4 --blend runs/demo/blend/au
  affect-heads predict clip.mp4 --pretrained           a network by itself, before any training
  affect-heads COMMAND --help                          its options and examples"""


class Commands(typer.core.TyperGroup):
    """The commands, each loaded only when it is run: their list alone shows at once."""

    def list_commands(self, ctx: typer.Context) -> list[str]:
        """Names, those that people need first at the top."""
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, name: str) -> typer.core.TyperCommand | None:
        """The command of a name; None for an unknown one."""
        if (known := COMMANDS.get(name)) is None:
            return None
        module = importlib.import_module(known.module)
        program = importlib.import_module(f"{known.module}.__main__") if hasattr(module, "__path__") else module
        examples = program.EXAMPLES.replace(f"python -m {known.module}", f"affect-heads {name}")
        result = typer.main.get_command(cli.application(program.command, examples))
        result.name = name
        return result

    def resolve_command(
        self, ctx: typer.Context, args: list[str]
    ) -> tuple[str | None, typer.core.TyperCommand | None, list[str]]:
        """The command that is meant; an unknown one ends with the nearest known name."""
        if args[0] not in COMMANDS:
            ctx.fail(f"no command {args[0]!r}; there are {', '.join(COMMANDS)}{did_you_mean(args[0], COMMANDS)}")
        if args[0] == "predict":
            from blend.predict.__main__ import prepare_arguments

            args = [args[0], *prepare_arguments(args[1:])]
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:
        """The list of commands that people need, from their lines here."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.about) for name, command in COMMANDS.items() if not command.is_hidden])


app = typer.Typer(cls=Commands, epilog=EXAMPLES, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback(no_args_is_help=True)
def affect_heads() -> None:
    """Frame-level affect from video: features, heads, an honest blend, checked submissions."""


def main() -> None:
    """What the console script starts."""
    process.freeze_imports()
    with errors.exits():
        app(prog_name="affect-heads")
