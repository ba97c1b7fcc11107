"""A process that fits what it is sent by lama.pool: LightAutoML does not stop when asked, a process does.

    python -m heads.families.lama.worker FILE_DESCRIPTOR

Orders and answers are pickles on one connection. When its other end closes, whoever asked is gone, and so is this.
"""

from __future__ import annotations

import gc
import os
import queue
import sys
import threading
import traceback
from multiprocessing.connection import Connection

from heads.families.lama import fit as lama_fit
from heads.families.lama.library import spare_imports


def main(connection: Connection) -> None:
    """Fit orders until the other end closes; each answer is (what came of it, None) or (None, traceback)."""
    orders: queue.Queue[lama_fit.FitOrder] = queue.Queue()

    def receive() -> None:
        try:
            while True:
                orders.put(connection.recv())
        except (EOFError, OSError):
            os._exit(0)

    threading.Thread(target=receive, daemon=True).start()
    spare_imports()
    gc.disable()  # nothing of what is imported is ever garbage
    with lama_fit.lightautoml():
        import lightautoml.automl.presets.tabular_presets  # noqa: F401  (seconds, better spent while data are read)
    gc.enable()
    gc.freeze()
    while True:
        order = orders.get()
        try:
            connection.send((lama_fit.fit(order), None))
        except Exception:
            connection.send((None, f"{order.name}: {traceback.format_exc()}"))


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
