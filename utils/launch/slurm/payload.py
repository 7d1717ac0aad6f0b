"""What travels to the node: the harness's node code, the job's files, and models and kernels of the tree. The same bytes for the same content."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matrix.tree import is_carried
from utils.node.vllm import plugin

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matrix.plan import Job

TREE, BASE_TREE = "tree", "base-tree"
"""Folders of the payload with models and kernels of the head and of the base."""
CODE = (
    "matrix/**/*.py",
    "matrix/vllm/versions.json",
    "utils/__init__.py",
    "utils/node/*.py",
    "utils/node/host/*.py",
    "utils/node/vllm/*.py",
)


NOT_SENT = (
    *(
        "matrix/vllm/generate.py",
        "matrix/vllm/probe_",
        "matrix/editor_schema.py",
        "matrix/cluster_schema.py",
        "matrix/select.py",
        "matrix/estimate.py",
        "matrix/pair.py",
        "matrix/tokenizer_code.py",
        *(f"utils/node/{name}.py" for name in ("blind_spots", "file_lock", "packed", "unmeasured")),
        "matrix/vllm/editor_flags.py",
    ),
    *(f"matrix/vllm/official/{name}.py" for name in ("compare", "document", "layers")),
)
"""What makes plans, vocabularies, pages and the schemas for editors, compares with official recipes, or is a launcher's: it never runs on a node."""


@dataclass(frozen=True, slots=True)
class Payload:
    """A compressed tar file."""

    content: bytes

    @property
    def sha256(self) -> str:
        """Hash of the tar file."""
        return hashlib.sha256(self.content).hexdigest()

    def text(self) -> str:
        """For a here-document: base64 in lines."""
        return base64.encodebytes(self.content).decode()


def make(root: Path, trees: Mapping[str, tuple[Path, Job]], arch: str, files: Mapping[str, bytes]) -> Payload:
    """Pack what a job needs.

    Args:
        root: of the harness, whose code travels.
        trees: folder in the payload -> the tree from which an arm's models and kernels come, and what the arm runs.
        arch: of the GPU, for its tiles.
        files: the job's own.
    """
    content = {
        name: path.read_bytes()
        for pattern in CODE
        for path in root.glob(pattern)
        if not (name := str(path.relative_to(root))).startswith(NOT_SENT)
    }
    for folder, (tree, job) in trees.items():
        models = sorted({point.model for point in job.points if is_carried(point.model)})
        found = [
            path
            for model in models
            for path in (tree / model).rglob("*")
            if path.is_file() and not path.is_symlink()
        ]
        found += [path for package in plugin.packages(job) for path in package.shipped(tree, arch)]
        content |= {f"{folder}/{path.relative_to(tree)}": path.read_bytes() for path in found}
    return pack(content | dict(files))


def pack(content: Mapping[str, bytes]) -> Payload:
    """Files by name; no times, no owners."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for name, data in sorted(content.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
    return Payload(packed.getvalue())
