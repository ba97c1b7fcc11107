"""Open a search in optuna-dashboard: the study.db of a blend or of heads.tune, or a shared storage.

python -m blend.dashboard runs/demo/blend/au
python -m blend.dashboard postgresql://user@host/database
"""

from __future__ import annotations

import json
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from extract.runtime import cli, errors
from extract.runtime.errors import InputError, WorkError

SQLITE = b"SQLite format 3\0"
"""How a database begins."""
INSTALL = "pip install optuna-dashboard"


def storage_of(study: str) -> str:
    """The storage's URL of a study.db, of the folder that holds it, or the URL itself.

    Raises InputError where there is no such study.
    """
    if "://" in study:
        from heads.tune import storage

        storage.parse(study)
        return study
    path = Path(study)
    file = path / "study.db" if path.is_dir() else path
    if not file.is_file():
        raise InputError(
            f"{study}: no study.db there; name a folder of blend.run or heads.tune (runs/demo/blend/au), "
            f"its study.db, or the storage of a shared search"
        )
    with open(file, "rb") as handle:
        if handle.read(len(SQLITE)) != SQLITE:
            raise InputError(f"{file}: no study.db: no SQLite database; name the folder of a search")
    return f"sqlite:///{file.resolve()}"


def main(study: str, port: int, as_json: bool = False) -> None:
    """Serve the dashboard on this machine alone, until Ctrl-C."""
    url = storage_of(study)
    if find_spec("optuna_dashboard") is None:
        raise WorkError(f"optuna-dashboard is not installed; {INSTALL}, then the same command again")
    import optuna
    import optuna_dashboard
    from sqlalchemy.exc import SQLAlchemyError

    try:
        storage = optuna.storages.get_storage(url)
    except (SQLAlchemyError, RuntimeError) as error:  # damaged, of another program, or no answer
        why = str(getattr(error, "orig", None) or error)
        raise InputError(f"{study}: cannot be opened as a study ({why}); name another, or search anew") from error
    with socket.socket() as taken:
        if taken.connect_ex(("127.0.0.1", port)) == 0:
            raise InputError(f"--port {port}: another program answers there; give another --port")
    where = f"http://127.0.0.1:{port}"
    print(json.dumps({"url": where}) if as_json else f"{where} (Ctrl-C ends it)", flush=True)
    optuna_dashboard.run_server(storage, host="127.0.0.1", port=port)


EXAMPLES = """Examples:

python -m blend.dashboard runs/demo/blend/au                 a blend's search

python -m blend.dashboard runs/demo/tune/va/mlp-demo_enet    a search of heads.tune"""


def command(
    study: Annotated[str, typer.Argument(help="A folder with a study.db, that file, or a shared storage's URL.")],
    port: Annotated[int, typer.Option(help="Port on this machine.", min=1, max=65535)] = 8080,
    as_json: cli.AsJson = False,
) -> None:
    """Show a search's trials, plots and importances in the browser (needs optuna-dashboard)."""
    with errors.exits():
        main(study, port, as_json)


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
