"""Packed files of which nobody knows what they unpack to."""

from __future__ import annotations

import gzip
import io
import zlib


def unpacked(content: bytes, most: int) -> bytes:
    """What a gzip file holds.

    Raises:
        ValueError: it is cut short, damaged, or unpacks to more than so many bytes.
    """
    try:
        with gzip.open(io.BytesIO(content)) as file:
            found = file.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"cut short or damaged: {error}") from error
    if len(found) > most:
        raise ValueError(f"unpacks to more than {most:,} bytes")
    return found
