"""Artifacts of workflows as data: what a job that ran foreign code left is read into memory, within limits, and never unpacked."""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib

from matrix.errors import Exit, HarnessError

MOST_FILES = 10_000
MOST_PACKED = 20_000_000
"""Bytes of the archive."""
MOST_UNPACKED = 8_000_000
"""Bytes of one file in it; what it says of its size is not believed."""


def one_file(content: bytes, name: str) -> bytes:
    """The content of one file of an archive, by its exact name.

    Raises:
        HarnessError: ARTIFACT_INVALID for what is no archive, is too large, or lacks the file.
    """
    if len(content) > MOST_PACKED:
        raise _invalid(f"is larger than {MOST_PACKED:,} bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if len(archive.infolist()) > MOST_FILES:
                raise _invalid(f"has more than {MOST_FILES:,} files")
            with archive.open(name) as file:
                found = file.read(MOST_UNPACKED + 1)
    except KeyError as error:
        raise _invalid(f"has no {name}") from error
    except (  # zipfile's own ways to refuse: NotImplementedError is a compression that it does not know
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        zlib.error,
        lzma.LZMAError,
    ) as error:
        raise _invalid(f"is no archive that can be read ({type(error).__name__})") from error
    if len(found) > MOST_UNPACKED:
        raise _invalid(f"has a {name} of more than {MOST_UNPACKED:,} bytes")
    return found


def _invalid(what: str) -> HarnessError:
    return HarnessError(Exit.ARTIFACT_INVALID, f"the artifact {what}; it is not used")
