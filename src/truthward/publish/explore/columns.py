"""Columns of numbers as text in a page: their bytes are kept, so the page computes with the published numbers.

The bytes of a column are laid out by significance, all first bytes before all second ones. Signs and exponents then
compress well. The digits hardly do, so what does not compress is kept as it is, and is fast to read.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from html import escape

import numpy as np

_SAMPLE = 1 << 16
_WORTH = 0.75
"""A plane of bytes is compressed if this makes it smaller than this share, judged by its first bytes. Less of a gain
costs more time in the browser than the larger file."""


def block(name: str, values: np.ndarray, *, start: int = 0) -> str:
    """A column as an element of the page that no browser shows or runs.

    Args:
        values: (N,) float32 or float64.
        start: the row of the first value; all rows before and after have the value zero.
    """
    size = values.dtype.itemsize
    planes = _planes(values)
    data = base64.b64encode(b"".join(planes)).decode()
    lengths = " ".join(str(len(plane)) for plane in planes)
    return (
        f'<script type="text/plain" data-column="{escape(name)}" data-bytes="{size}" data-rows="{values.size}" '
        f'data-start="{start}" data-planes="{lengths}">{data}</script>\n'
    )


def _planes(values: np.ndarray) -> Sequence[bytes]:
    size = values.dtype.itemsize
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    planes = little.view(np.uint8).reshape(-1, size).T
    return [_smaller(np.ascontiguousarray(plane).tobytes()) for plane in planes]


def _smaller(plane: bytes) -> bytes:
    """The compressed bytes, or the bytes where this would not help: the page knows them by their length."""
    sample = plane[:_SAMPLE]
    if len(zlib.compress(sample, 1)) > _WORTH * len(sample):
        return plane
    made = zlib.compress(plane, 3)
    return made if len(made) < len(plane) else plane
