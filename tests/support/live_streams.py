"""Streams made for tests: films as bytes, pipes that somebody writes to, and servers on loopback."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

import av
import numpy as np
from numpy.typing import NDArray


def encode(frames: Iterable[NDArray[np.uint8]], form: str = "mpegts", rate: int = 15) -> list[bytes]:
    """A film of BGR frames as the bytes that belong to each frame: what a camera's program would send by and by."""
    buffer, parts, sent = BytesIO(), [], 0
    codec, options = (
        ("mjpeg", {}) if form == "matroska" else ("libx264", {"preset": "ultrafast", "tune": "zerolatency", "crf": "8"})
    )
    with av.open(buffer, "w", format=form) as out:
        stream = out.add_stream(codec, rate=rate, options=options)
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number, pixels in enumerate(frames):
            if not number:
                stream.height, stream.width = pixels.shape[:2]
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
            parts.append(buffer.getvalue()[sent:])
            sent = len(buffer.getvalue())
        out.mux(stream.encode())
    return [*parts[:-1], parts[-1] + buffer.getvalue()[sent:]]


@contextlib.contextmanager
def pipe(parts: Iterable[bytes], rate: float = 0) -> Iterator[int]:
    """The reading end of a pipe that a thread writes to, `rate` parts a second (0: as fast as they are taken)."""
    reading, writing = os.pipe()

    def write() -> None:
        with contextlib.suppress(OSError), open(writing, "wb", buffering=0) as file:
            began = time.monotonic()
            for number, part in enumerate(parts):
                if rate:
                    time.sleep(max(0.0, began + number / rate - time.monotonic()))
                file.write(part)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield reading
    finally:
        os.close(reading)
        thread.join(10)


@contextlib.contextmanager
def server(content: bytes | None, stated: int | None = None) -> Iterator[str]:
    """The address of a file on a server of this machine: 404 where there is no content, `stated` its stated length."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            if stated is not None:
                self.send_header("Content-Length", str(stated))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as result:
        threading.Thread(target=result.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{result.server_address[1]}/film"
        finally:
            result.shutdown()
