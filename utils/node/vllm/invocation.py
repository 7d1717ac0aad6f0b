"""The exact commands of a job, as lists: what runs, and what `--print-script` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matrix.protocol import requests, seed
from utils.node.vllm import load

if TYPE_CHECKING:
    from matrix.plan import Point, Serve


def serve(serve: Serve, model: str, port: int) -> list[str]:
    """The arguments of `vllm` for a server."""
    return ["serve", model, *serve.argv[2:], "--host", "127.0.0.1", "--port", str(port)]


def warmup(point: Point, model: str, port: int, folder: str) -> load.Call:
    """The warm-up: other prompts of the same lengths, before any measured one."""
    count = point.protocol.warmup_requests_per_concurrency * point.concurrency
    return load.Call(point, model, port, count, seed(point.id, "warm-up"), folder, "warmup.json")


def measured(
    point: Point, model: str, port: int, folder: str, *, rate_per_s: float, count: int | None = None
) -> load.Call:
    """The measured load; the count of an earlier run of the allocation wins over the warm-up's rate."""
    wanted = count or requests(point.protocol, point.concurrency, rate_per_s)
    return load.Call(point, model, port, wanted, seed(point.id), folder, "load.json")
