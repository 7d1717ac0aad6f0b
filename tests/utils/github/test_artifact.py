"""An archive that a stranger's job left, broken in each of its bytes: refused, or read; never an error of ours."""

from __future__ import annotations

import io
import zipfile

import pytest

from matrix.errors import Exit, HarnessError
from utils.github import artifact

pytestmark = pytest.mark.hostile
NAME = "plan.json"


@pytest.mark.parametrize(
    "kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_a_broken_archive_is_refused(kind: int) -> None:
    """Each compression has errors of its own: the comment said nothing, for its job had died."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", kind) as archive:
        archive.writestr(NAME, b'{"a": 1}' * 500)
    whole = packed.getvalue()
    assert artifact.one_file(whole, NAME) == b'{"a": 1}' * 500
    refused = 0
    for at in range(len(whole)):
        broken = bytearray(whole)
        broken[at] ^= 0xFF
        try:
            artifact.one_file(bytes(broken), NAME)
        except HarnessError as error:
            refused += error.exit_code is Exit.ARTIFACT_INVALID
    assert refused > len(NAME)
