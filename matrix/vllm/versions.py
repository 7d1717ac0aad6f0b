"""What the harness may count on in a vLLM minor version beside its flags: rows of versions.json.

They were read in the sources of each version's package, and compared with a real run of each one's client
(tests/golden/vllm). A row says what is there, not what a given server shows: some series hang on flags.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from matrix.schema import Strict

FILE = Path(__file__).resolve().parent / "versions.json"


class Client(Strict):
    """`vllm bench serve`."""

    flags: list[str]
    """Of those that versions differ in, or that a reader may doubt, the ones it has."""
    asks: list[str]
    """Paths of the server that it asks beside its requests."""
    sends: list[str]
    """Fields of a completion's body."""
    sends_chat: list[str]
    """Of a chat completion's, beside its messages."""
    chat_ttft_of: Literal["chunk", "token"]
    """What ends TTFT of chat: any first chunk, also the empty one that names the role, or the first with a token."""
    profile_sends_completion: bool
    """Whether `--profile` calls the profiler's paths with the body of a completion."""


class Result(Strict):
    """Its JSON with `--save-result --save-detailed` and the harness's percentile flags."""

    columns: list[str]
    """Lists with a value a request."""
    totals: list[str]
    """Plain values, without the statistics."""
    server_columns: list[str]
    """Columns that need a server with `per_request_metrics`."""
    statistics: list[str]
    """What `--percentile-metrics` may name: mean_, median_, std_ and pNN_ of it, with _ms behind."""


class Profiler(Strict):
    """How a server is told to write a trace."""

    flag: str
    env: str | None
    """The variable that did it in versions before 0.24."""
    paths: list[str]
    body: list[str]
    """What the body of /start_profile may have; empty where it takes none."""


class Known(Strict):
    """A row."""

    version: str
    """The release that was read."""
    client: Client
    result: Result
    series: dict[str, str]
    """What is counted -> its name on the wire."""
    lacks: list[str]
    """What other versions, or older ones, count under this name."""
    profiler: Profiler
    paths: dict[str, str]
    server_info_needs: str
    """What must be in the server's environment for /server_info."""
    per_request_metrics: str | None
    """The flag that puts a request's own queue time into its last chunk."""


def of(version: str) -> Known | None:
    """The row of a version's minor version; None for one that nobody has read."""
    return _rows().get(".".join(version.removeprefix("v").split(".")[:2]))


def newest() -> Known:
    """The row of the newest version that was read."""
    return max(_rows().values(), key=lambda row: tuple(map(int, row.version.split("."))))


@cache
def _rows() -> dict[str, Known]:
    return TypeAdapter(dict[str, Known]).validate_json(FILE.read_bytes())
