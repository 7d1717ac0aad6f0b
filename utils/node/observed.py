"""The observed key: the key with what a node found, and whether it may be reused. Pure, so that others can make it anew."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from matrix import key
from matrix.tree import is_carried
from utils.node.record import Observed

if TYPE_CHECKING:
    from matrix.plan import Point
    from utils.node.record import Environment, Node


class Found(NamedTuple):
    """What is known besides the point and the machine."""

    vllm: str
    """Empty before a server told its version."""
    squash_sha256: str | None
    environment: Environment
    argv: tuple[str, ...]
    """Of the server."""


def observed(point: Point, found: Found, node: Node) -> Observed | None:
    """The key with what was found; None before the server told its version."""
    if not found.vllm:
        return None
    every = {
        "vllm": found.vllm,
        "cpu": node.cpu_model,
        "cores": node.cores,
        "gpu": node.gpu_model,
        "driver": node.driver,
        "partition": node.partition,
        "firmware": node.firmware,
        "power_cap_w": node.power_cap_w,
        "clock_mhz": node.clock_mhz,
        "squash_sha256": found.squash_sha256,
        "load_image": node.load_image if node.load_image != point.image else None,
    }
    parts = point.parts | {"observed": {name: value for name, value in every.items() if value}}
    why_not = []
    if found.environment == "own":
        why_not.append("the environment was given by hand")
    if "==" not in point.image and "@sha256:" not in point.image:
        why_not.append("the image is not pinned by digest")
    if not is_carried(point.model) and not re.fullmatch("[0-9a-f]{40}", point.revision or ""):
        why_not.append("the model is not pinned by a commit")
    if point.model.startswith("/"):
        why_not.append("the model is a folder of the node")
    if any("speculative" in word for word in found.argv):
        why_not.append("a draft model is not pinned")
    return Observed(key=key.key(parts), parts=parts, reusable=not why_not, why_not=why_not)
