"""Videos while they are made: pipes, addresses and cameras, and what is said where there are none."""

import gc
import itertools
import os
import threading
import time

import numpy as np
import psutil
import pytest
from support import live_streams
from support.ports import free_ports

from extract.media import live, video
from extract.media.live import LiveVideo
from extract.runtime.errors import InputError, hide_password


def grey(count, height=64, width=96):
    """Frames that tell their number by their brightness."""
    return [np.full((height, width, 3), 20 + 5 * number, np.uint8) for number in range(count)]


def told(frame):
    return round((float(frame.pixels.mean()) - 18) / 5)


def read(source, **settings):
    with LiveVideo(source, **settings) as frames:
        return [*frames]


@pytest.mark.parametrize("form", ["mpegts", "matroska"])
def test_a_finished_film_in_a_pipe_is_read_whole_however_slow_its_user_is(form):
    with live_streams.pipe(live_streams.encode(grey(30), form)) as number, LiveVideo("-", pipe=number) as frames:
        got = []
        for frame in frames:
            time.sleep(0.01)
            got.append(frame)
    assert [frame.number for frame in got] == [*range(1, 31)] and [told(frame) for frame in got] == [*range(30)]
    np.testing.assert_allclose([frame.seconds for frame in got], np.arange(30) / 15, atol=1e-3)
    assert {frame.drops for frame in got} == {0} and got[0].pixels.shape == (64, 96, 3)
    assert all(a.arrival <= b.arrival for a, b in itertools.pairwise(got))


def test_a_slow_user_of_a_live_film_gets_the_newest_frames_and_every_other_one_is_counted():
    parts = live_streams.encode(grey(40), "matroska")
    with live_streams.pipe(parts, rate=100) as number, LiveVideo("-", drop=True, pipe=number) as frames:
        got = []
        for frame in frames:
            got.append(frame)
            time.sleep(0.08)
    numbers = [frame.number for frame in got]
    assert numbers[-1] == 40 and 3 < len(got) < 25
    assert [told(frame) for frame in got] == [number - 1 for number in numbers], "a number is its frame's own"
    assert got[-1].drops == 40 - len(got), "what was not given was dropped, and nothing is counted twice"
    ages = [frame.number - before.number for before, frame in itertools.pairwise(got[2:])]
    assert np.mean(ages) > 3, "it does not fall behind"


def test_frames_of_a_live_film_before_anybody_looks_are_no_dropped_ones():
    parts = live_streams.encode(grey(45))
    with live_streams.pipe(parts, rate=30) as number, LiveVideo("-", drop=True, pipe=number) as frames:
        assert frames.start_event.wait(5)
        time.sleep(0.3)
        got = [*frames]
    assert 3 < len(got) < 40 and (got[0].number, got[0].seconds) == (1, 0.0)
    assert len(got) + got[-1].drops == got[-1].number < 45 - told(got[0]) + 1 and told(got[-1]) == 44


def test_a_frame_arrives_before_it_waits_for_room():
    with live_streams.pipe(live_streams.encode(grey(12))) as number, LiveVideo("-", pipe=number) as frames:
        until = time.monotonic() + 10
        while frames._came <= live.QUEUE_LENGTH:
            assert time.monotonic() < until
            time.sleep(0.01)
        time.sleep(0.2)
        taken = time.monotonic()
        got = [*frames]
    assert [frame.arrival < taken for frame in got[: live.QUEUE_LENGTH + 2]] == [True] * (live.QUEUE_LENGTH + 1) + [
        False
    ]


def test_stop_ends_a_film_that_nothing_comes_of_any_more():
    reading, writing = os.pipe()
    os.write(writing, b"".join(live_streams.encode(grey(12), "matroska"))[:-500])
    got = []
    with LiveVideo("-", pipe=reading) as frames:
        threading.Timer(1.0, frames.stop).start()
        began = time.monotonic()
        for frame in frames:
            got.append(frame)
    assert 8 <= len(got) <= 12 and time.monotonic() - began < 3
    assert not frames._thread.is_alive()
    os.close(reading)
    os.close(writing)


def test_a_pipe_without_a_film_is_refused_in_one_line():
    rubbish = [np.random.default_rng(seed).bytes(100_000) for seed in range(20)]
    for content in (b"", b"x", b"no video at all, only a text" * 500, *rubbish):
        with live_streams.pipe([content]) as number, pytest.raises(InputError) as error:
            read("-", pipe=number)
        begins = "-: the pipe is empty" if not content else "-: no video that can be read from"
        assert str(error.value).startswith(begins)


def noise(count):
    return [*np.random.default_rng(0).integers(0, 255, (count, 64, 96, 3), np.uint8)]


def read_broken(source, said, **settings):
    """The frames of what breaks off."""
    got = []
    with pytest.raises(InputError, match=said), LiveVideo(source, **settings) as frames:
        for frame in frames:
            got.append(frame)
    return got


@pytest.mark.parametrize("part", [0.67, 0.999])
def test_a_film_in_a_pipe_that_breaks_off_gives_its_frames_first(part):
    said = r"^-: broke off after frame (\d+) \(\d\.\d s\): .*; what was written stays$"
    for content in (b"".join(live_streams.encode(noise(20))), mp4(noise(20))):
        with live_streams.pipe([content[: int(len(content) * part)]]) as number:
            got = read_broken("-", said, pipe=number)
        assert 10 < len(got) <= 20 and [frame.number for frame in got] == [*range(1, len(got) + 1)]


def test_a_download_that_breaks_off_is_said_and_a_live_address_that_ends_too():
    content = mp4(noise(20))
    with live_streams.server(content[: len(content) * 2 // 3], len(content)) as url:
        assert 5 < len(read_broken(url, r"^http.*/film: broke off after frame \d+ ")) < 20
    content = b"".join(live_streams.encode(noise(20)))
    with live_streams.server(content) as url:
        assert len(read_broken(url, r"broke off after frame 20 \(1\.3 s\): ", drop=True)) <= 20


def test_a_pipe_of_a_recording_without_a_length_that_is_stopped_is_a_whole_one():
    content = b"".join(live_streams.encode(noise(20), "matroska"))
    with live_streams.pipe([content[:-2000]]) as number:
        assert len(read("-", pipe=number)) == 19


def test_damage_in_the_middle_is_passed_over():
    parts = live_streams.encode(grey(24), "mpegts")
    parts[9] = bytes(len(parts[9]))
    with live_streams.pipe(parts) as number:
        got = read("-", pipe=number)
    assert 10 < len(got) <= 24 and got[-1].seconds > 1.4


def test_where_the_clock_of_a_film_begins_anew_time_goes_on():
    parts = live_streams.encode(grey(20)) * 3
    with live_streams.pipe(parts) as number:
        got = read("-", pipe=number)
    seconds = np.array([frame.seconds for frame in got])
    assert len(got) >= 57 and (np.diff(seconds) > 0).all() and 3.5 < seconds[-1] < 4.5


def test_addresses_that_are_not_there_are_refused_in_one_line_without_a_password():
    [port] = free_ports(1)
    for url in (f"rtsp://me:secret@127.0.0.1:{port}/live", f"http://127.0.0.1:{port}/a.mp4", f"tcp://127.0.0.1:{port}"):
        with pytest.raises(InputError, match=r"no stream there \(Connection refused\)") as error:
            read(url)
        assert "secret" not in str(error.value) and str(error.value).startswith(hide_password(url))
    with live_streams.server(None) as url, pytest.raises(InputError, match=r"no stream there \(.*404"):
        read(url)


def test_a_file_on_the_web_is_read_whole_and_what_has_no_length_is_live():
    content = mp4(grey(20))
    with live_streams.server(content, len(content)) as url, LiveVideo(url) as film:
        assert [told(frame) for frame in film] == [*range(20)] and film.drop is False
    with live_streams.server(b"".join(live_streams.encode(grey(20)))) as url, LiveVideo(url) as film:
        assert film.start_event.wait(5) and film.drop is True


def mp4(frames):
    """A film whose index comes first."""
    from io import BytesIO

    import av

    buffer = BytesIO()
    with av.open(buffer, "w", format="mp4", options={"movflags": "frag_keyframe+empty_moov"}) as out:
        stream = out.add_stream("libx264", rate=15)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for pixels in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        out.mux(stream.encode())
    return buffer.getvalue()


def test_a_file_at_stdin_may_have_its_index_at_its_end(tmp_path):
    import av

    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=15)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for pixels in grey(10):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        out.mux(stream.encode())
    content = path.read_bytes()
    assert content.index(b"moov") > content.index(b"mdat")
    with open(path, "rb") as file:
        assert [told(frame) for frame in read("-", pipe=file.fileno())] == [*range(10)]
    path.unlink()
    with av.open(str(path), "w") as out:  # of a size that FFmpeg does not hold
        stream = out.add_stream("mpeg4", rate=15)
        stream.height, stream.width, stream.pix_fmt, stream.bit_rate = 64, 96, "yuv420p", 5_000_000
        for pixels in noise(40):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        out.mux(stream.encode())
    content = path.read_bytes()
    with live_streams.pipe([content]) as number, pytest.raises(InputError, match=r"MP4 with its index first"):
        read("-", pipe=number)


def test_what_is_no_source_is_refused_before_anything_is_opened():
    for source, camera, said in (
        ("9999", True, r"--camera 9999: no such camera \(/dev/video9999\); cameras here: "),
        ("/dev/nothing", True, r"no such camera \(/dev/nothing\)"),
        ("rtps://host/x", False, r"addresses begin with rtsp, .*did you mean 'rtsps'"),
        ("file:///etc/passwd", False, "addresses begin with"),
    ):
        with pytest.raises(InputError, match=said):
            LiveVideo(source, camera)
    assert live.is_stream("-") and live.is_stream("rtsp://host/x") and not live.is_stream("clips/a.mp4")


def test_a_terminal_is_no_pipe():
    import pty

    terminal, other = pty.openpty()
    with pytest.raises(InputError, match="found the terminal"):
        LiveVideo("-", pipe=other)
    os.close(terminal)
    os.close(other)


@pytest.mark.parametrize(
    ("kind", "part", "said"),
    [
        ("tcp", 0.5, r"broke off after frame \d+ .*nothing came for 1 s"),
        ("tcp", 0, r"no stream there \(nothing came for 1 s\); look"),
        ("rtsp", 0, r"no stream there \(nothing came for 1 s\); look"),
    ],
)
def test_an_address_that_falls_silent_has_broken_off(monkeypatch, kind, part, said):
    """A server that sends half a film, or none of it, and then nothing, with the connection open."""
    import socket

    monkeypatch.setattr(live, "SECONDS", 1.0)
    content = b"".join(live_streams.encode(grey(20), "matroska"))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def serve():
            connection, _ = listening.accept()
            connection.sendall(content[: int(len(content) * part)])
            time.sleep(4)
            connection.close()

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(InputError, match=said):
            read(f"{kind}://127.0.0.1:{listening.getsockname()[1]}", drop=False)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (0.7, r"^-: broke off after frame \d+: no frame came for 0\.5 s; what was written stays$"),
        (0, r"^-: no frame came for 0\.5 s; see what the program before it says$"),
    ],
)
def test_a_pipe_that_falls_silent_is_not_waited_for_for_ever(monkeypatch, part, said):
    monkeypatch.setattr(live, "PIPE_SILENCE", 0.5)
    content = b"".join(live_streams.encode(grey(20)))
    reading, writing = os.pipe()
    os.write(writing, content[: int(len(content) * part)])
    got = read_broken("-", said, pipe=reading)
    assert bool(got) == bool(part)
    os.close(reading)
    os.close(writing)


def test_a_slow_user_is_no_silent_source(monkeypatch):
    monkeypatch.setattr(live, "PIPE_SILENCE", 0.3)
    with live_streams.pipe(live_streams.encode(grey(6))) as number, LiveVideo("-", pipe=number) as frames:
        assert [(time.sleep(0.4), frame.number)[1] for frame in frames] == [*range(1, 7)]


def test_whatever_hangs_an_address_is_not_waited_for_for_ever(monkeypatch):
    """As a driver does that FFmpeg cannot make give up."""
    end = threading.Event()
    monkeypatch.setattr(live, "SILENCE", 0.5)
    monkeypatch.setattr(LiveVideo, "_read", lambda self: end.wait(20))
    threading.Timer(1.5, end.set).start()
    assert not read_broken("rtsp://host/x", r"^rtsp://host/x: no stream there \(no frame came for 0\.5 s\)")


def test_a_frame_that_was_given_is_free_at_once_without_the_garbage_collector(tmp_path):
    """PyAV's frames would wait for it, hundreds of them, once their side data were looked at."""
    path = tmp_path / "film.ts"
    path.write_bytes(b"".join(live_streams.encode(grey(40, 480, 640) * 5)))
    process = psutil.Process()
    gc.disable()
    try:
        with open(path, "rb") as file, LiveVideo("-", pipe=file.fileno()) as live_frames:
            for frames in (video.read(path), live_frames):
                sizes = [process.memory_info().rss for _ in frames]
                assert len(sizes) == 200
                assert sizes[-1] - sizes[20] < 40 * 2**20, "of 180 frames of 460 kB each"
    finally:
        gc.enable()


def test_frames_that_wait_come_before_what_broke_off_behind_them():
    content = b"".join(live_streams.encode(noise(2)))
    with live_streams.pipe([content[:-300]]) as number, LiveVideo("-", pipe=number) as frames:
        frames._thread.join(5)
        assert frames.failure() is None
        got = []
        with pytest.raises(InputError, match="broke off after frame 2"):
            for frame in frames:
                got.append(frame.number)
        assert got == [1, 2] and frames.failure() is not None
