"""Pictures for the browsers of this machine, as they are made: Motion JPEG over HTTP, on loopback only."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from extract.runtime.errors import InputError

HOST = "127.0.0.1"
QUALITY = 80
WAIT = 0.5
"""Seconds after which a connection that waits looks whether it should end."""
MAX_VIEWERS = 8
"""Who looks at once, at most."""
SECONDS = 10.0
"""A browser that neither sends nor takes anything for so long is let go."""
PAGE = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>affect-heads live</title>
<link rel="icon" href="data:,">
<style>body{margin:0;background:#18191e;display:grid;place-items:center;min-height:100vh}img{max-width:100%}</style>
<img src="/stream.mjpg" alt="The stream with what was predicted"></html>"""


class _Server(ThreadingHTTPServer):
    """Says nothing of a browser that goes away in the middle of a request."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class MjpegServer:
    """Shows the newest picture to whoever looks at http://127.0.0.1:<port>/; to be closed when done."""

    def __init__(self, port: int) -> None:
        """Listen. Raises InputError where the port cannot be had."""
        self._jpeg, self._number, self._watching = b"", 0, 0
        self._changed = threading.Condition()
        self._closed = False
        try:
            self._server = _Server((HOST, port), _handler(self))
        except (OSError, OverflowError) as error:
            raise InputError(
                f"--serve {port}: {HOST}:{port} cannot be had ({getattr(error, 'strerror', error)}); give another port"
            ) from None
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="mjpeg", daemon=True).start()

    @property
    def url(self) -> str:
        """What to open in a browser."""
        return f"http://{HOST}:{self.port}/"

    @property
    def has_viewers(self) -> bool:
        """Whether anybody looks: else nothing need be drawn."""
        return self._watching > 0

    def show(self, picture: NDArray[np.uint8]) -> None:
        """Give everybody an RGB picture [height, width, 3]; who is slow misses some."""
        from PIL import Image

        buffer = BytesIO()
        Image.fromarray(picture).save(buffer, format="jpeg", quality=QUALITY)
        with self._changed:
            self._jpeg, self._number = buffer.getvalue(), self._number + 1
            self._changed.notify_all()

    def close(self) -> None:
        """End all connections."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def _next(self, number: int) -> tuple[int, bytes]:
        """The newest picture behind `number`, waiting for it; 0 where there is none any more."""
        with self._changed:
            while self._number <= number and not self._closed:
                self._changed.wait(WAIT)
            return (0, b"") if self._closed else (self._number, self._jpeg)

    def _begin(self) -> bool:
        """Count one more who looks, unless there are MAX_VIEWERS."""
        with self._changed:
            free = self._watching < MAX_VIEWERS
            self._watching += free
            return free

    def _end(self) -> None:
        with self._changed:
            self._watching -= 1


def _is_own(host: str, site: str) -> bool:
    """Whether a request is of a page of ours: by no other name of this machine (`Host`), and from no other site."""
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name in (HOST, "localhost") and site != "cross-site"


def _handler(owner: MjpegServer) -> type[BaseHTTPRequestHandler]:
    """What answers a connection."""

    class Handler(BaseHTTPRequestHandler):
        timeout = SECONDS

        def do_GET(self) -> None:
            if not _is_own(self.headers.get("Host", ""), self.headers.get("Sec-Fetch-Site", "")):
                self.send_error(403)
            elif self.path == "/":
                self._head("text/html; charset=utf-8")
                self.wfile.write(PAGE)
            elif self.path == "/stream.mjpg":
                if not owner._begin():
                    self.send_error(503, f"{MAX_VIEWERS} look already")
                    return
                try:
                    self._head("multipart/x-mixed-replace; boundary=frame")
                    self._stream()
                finally:
                    owner._end()
            else:
                self.send_error(404)

        def _head(self, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Cache-Control", "no-store")
            self.send_header("Cross-Origin-Resource-Policy", "same-origin")
            self.end_headers()

        def _stream(self) -> None:
            number = 0
            with suppress(OSError):  # who looked has gone
                while True:
                    number, jpeg = owner._next(number)
                    if not number:
                        break
                    self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg))
                    self.wfile.write(jpeg + b"\r\n")

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: stderr is for people."""

    return Handler
