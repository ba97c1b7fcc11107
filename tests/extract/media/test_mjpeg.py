"""Pictures for browsers of this machine: the newest one, to everybody, and to nobody elsewhere."""

import contextlib
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from extract.media import mjpeg
from extract.media.mjpeg import MjpegServer
from extract.runtime.errors import InputError


@pytest.fixture
def server():
    result = MjpegServer(0)
    yield result
    result.close()


def next_picture(answer):
    """The next part of a multipart answer, as pixels."""
    assert answer.readline() == b"--frame\r\n"
    assert answer.readline() == b"Content-Type: image/jpeg\r\n"
    length = int(answer.readline().partition(b":")[2])
    assert answer.readline() == b"\r\n"
    picture = Image.open(BytesIO(answer.read(length)))
    assert answer.readline() == b"\r\n"
    return np.asarray(picture)


def wait_until(condition):
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_browser_gets_the_page_and_every_picture_while_it_looks(server):
    with urllib.request.urlopen(server.url) as page:
        assert b'<img src="/stream.mjpg"' in page.read() and page.headers["Content-Type"].startswith("text/html")
    assert not server.has_viewers
    with urllib.request.urlopen(f"{server.url}stream.mjpg") as answer:
        assert answer.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"
        wait_until(lambda: server.has_viewers)
        for level in (40, 200):
            server.show(np.full((30, 50, 3), level, np.uint8))
            picture = next_picture(answer)
            assert picture.shape == (30, 50, 3) and abs(float(picture.mean()) - level) < 2
    for level in range(100):  # who has gone is noticed by what cannot be sent
        server.show(np.full((300, 300, 3), level, np.uint8))
        if not server.has_viewers:
            break
        time.sleep(0.02)
    assert not server.has_viewers


def test_only_this_machine_and_pages_of_its_own_see_it(server):
    assert server._server.server_address[0] == "127.0.0.1"
    for headers in (
        {"Host": "evil.example"},
        {"Host": f"evil.example:{server.port}"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "[127.0.0.1"},
        {"Host": ""},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        request = urllib.request.Request(f"{server.url}stream.mjpg", headers=headers)
        with pytest.raises(urllib.error.HTTPError, match="403") as error:
            urllib.request.urlopen(request)
        error.value.close()
    for headers in ({"Host": "127.0.0.1"}, {"Host": "localhost"}, {"Sec-Fetch-Site": "same-origin"}):
        with urllib.request.urlopen(urllib.request.Request(server.url, headers=headers)) as page:
            assert page.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    with pytest.raises(urllib.error.HTTPError, match="404") as error:
        urllib.request.urlopen(f"{server.url}nothing")
    error.value.close()


def test_so_many_look_at_once_and_no_more(server):
    with contextlib.ExitStack() as stack:
        for _ in range(mjpeg.MAX_VIEWERS):
            stack.enter_context(urllib.request.urlopen(f"{server.url}stream.mjpg"))
        with pytest.raises(urllib.error.HTTPError, match="503") as error:
            urllib.request.urlopen(f"{server.url}stream.mjpg")
        error.value.close()
        assert server._watching == mjpeg.MAX_VIEWERS
    for level in range(100):
        server.show(np.full((300, 300, 3), level, np.uint8))
        if not server.has_viewers:
            break
        time.sleep(0.02)
    with urllib.request.urlopen(f"{server.url}stream.mjpg") as answer:
        assert answer.status == 200, "places become free"


def test_who_says_nothing_or_takes_nothing_is_let_go(monkeypatch):
    monkeypatch.setattr(mjpeg, "SECONDS", 0.3)
    server = MjpegServer(0)
    try:
        with socket.create_connection(("127.0.0.1", server.port)) as silent:
            silent.settimeout(5)
            assert silent.recv(1) == b"", "the connection is closed"
        with socket.create_connection(("127.0.0.1", server.port)) as full:
            full.sendall(b"GET /stream.mjpg HTTP/1.0\r\nHost: localhost\r\n\r\n")
            wait_until(lambda: server.has_viewers)
            noise = np.random.default_rng(0).integers(0, 255, (1000, 1500, 3), np.uint8)
            for _ in range(60):
                server.show(noise)
                if not server.has_viewers:
                    break
                time.sleep(0.05)
            assert not server.has_viewers
    finally:
        server.close()


@pytest.mark.parametrize("port", [None, 70_000])
def test_a_port_that_cannot_be_had_is_said(port):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wanted = port or taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"^--serve {wanted}: .*cannot be had .*give another port"):
            MjpegServer(wanted)


def test_closing_ends_who_looks(server):
    with urllib.request.urlopen(f"{server.url}stream.mjpg") as answer:
        wait_until(lambda: server.has_viewers)
        server.close()
        assert answer.read() == b""


def test_a_browser_that_breaks_off_in_the_middle_of_a_request_is_no_news(server, capfd):
    with socket.create_connection(("127.0.0.1", server.port)) as gone:
        gone.sendall(b"GET / HT")
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing resets
    until = time.monotonic() + 5
    while threading.active_count() > 2 and time.monotonic() < until:
        time.sleep(0.01)
    assert capfd.readouterr().err == ""
