"""Which GPU there is, by the compiler's name: tiles and launches are chosen by it."""

from __future__ import annotations

import torch


def arch(*, rocm: bool) -> str:
    """Of the current GPU: gfx942, sm90."""
    if rocm:
        return str(torch.cuda.get_device_properties(0).gcnArchName).split(":", maxsplit=1)[0]
    major, minor = torch.cuda.get_device_capability(torch.cuda.current_device())
    return f"sm{major}{minor}"
