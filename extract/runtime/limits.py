"""The largest inputs that are taken, in one place: each is checked before memory is, and what is larger is refused.

They are far above what there is (all of Aff-Wild2 is 2.9 million frames) and low enough that no file of a few kilobytes
takes a gigabyte of memory.
"""

from __future__ import annotations

NAME_BYTES = 200
"""Of a name that becomes a file. File systems take 255; the rest is for `.safetensors`, `_right`, and what a file is
called while it is written."""
PIXELS = 64_000_000
"""Of a picture, or a video's frame: 8K has 33 million."""
PICTURE_BYTES = 2**29
"""Of a picture's file: of so many pixels, uncompressed in 16 bits, it has 384 million."""
SIDE = 4096
"""Pixels of a network's picture."""
TENSOR = 2**28
"""Numbers of any tensor within a network."""
SECONDS, RATE, BANDS = 600, 384_000, 4096
"""Of a network that hears: what it hears at a time, samples per second, bands of a log-mel."""
ROWS = 5_000_000
"""Of a Parquet table: a constant column takes a few bytes on disk, however long it is."""
CELL_BYTES = 2**30
"""Of a Parquet table, unpacked, whatever its size: for the same reason. More only as UNPACK_FACTOR allows."""
JSON_BYTES = 2**26
"""Of a JSON file: as Python's objects it is ten times as large."""
MODEL_BYTES, JSON_VALUES = 2**29, 5_000_000
"""Of a lama model's JSON, whose arrays are texts: values that stand alone in it would take ten times the memory."""
TOML_BYTES = 2**20
"""Of a config or a head's file."""
TEXT_BYTES, PREDICTION_BYTES, TABLE_BYTES = 2**27, 2**28, 2**24
"""Of annotations, lists and submissions as text, of predictions as CSV (all of Aff-Wild2 has 2.9 million lines of about
40, and 150), and of small tables such as who is who. They are read at once, and the largest of each kind takes less
than a gigabyte of memory (tests/system/test_large_texts.py)."""
NESTING = 50
"""Lists and tables within each other, and parts of a dotted key."""
FRAMES = 10_000_000
"""Of a video, by the numbers that its frames have: four days. A timeline has a place for each."""
FRAME_DIGITS = 12
"""Of a frame's number as text, with zeros before it: Python refuses numbers of 4,300 digits."""
K = 1_000_000
"""Frames on each side that smoothing looks at: nine hours."""
UNPACK_FACTOR = 20
"""Times its size that a table or an archive, such as a PyTorch checkpoint, may unpack to: measurements and weights do
not shrink so far."""
NUMBER = 1e30
"""Of a blend: scores are float32."""
BOUND = 2**53
"""Of what a search of settings may try: whole numbers up to here are exact."""
MESSAGE = 2000
"""Characters of an error's text: what was found may be long."""


def frame(text: str) -> int:
    """The frame number that a text of digits says; 0 where it says none, or a larger one than int32 holds."""
    if not (text.isascii() and text.isdigit()) or len(text) > FRAME_DIGITS:
        return 0
    return number if (number := int(text)) < 2**31 else 0


def is_deep(value: object) -> bool:
    """Whether lists and tables lie within each other more than NESTING times."""
    level: list[object] = [value]
    for _ in range(NESTING + 1):
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return True
