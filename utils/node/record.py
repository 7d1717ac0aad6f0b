"""The record: everything that a run leaves for a point. Units stand in the names; written whole or not at all."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import stat
import tempfile
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from matrix.errors import Exit, HarnessError
from matrix.plan import Arm
from matrix.rules import Rules
from matrix.schema import Value
from utils.node.failure import RunFailed
from utils.node.spec import Provenance

SCHEMA = 1
FILE = "record.json"
BROKEN = "broken.json"
"""Marks a folder whose records are of a block that broke off: kept raw, and never judged."""
VALUES_NEEDED = {"p50": 5, "p90": 29, "p99": 299, "p999": 2995}
"""Values that a one-sided 95 % bound of a percentile needs: the smallest n with q^n <= 5 %."""


class Summary(Value):
    """Of one quantity over requests or tokens; a percentile stands only where n supports it."""

    n: int
    mean: float
    std: float
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    p999: float | None = None


class Window(Value):
    """Metrics of a part of the load."""

    start_s: float
    """Seconds after the first request's start."""
    duration_s: float
    requests: int
    total_tok_per_s_per_device: float
    """Input and output tokens."""
    output_tok_per_s_per_device: float
    requests_per_s: float
    ttft_s: Summary
    tpot_s: Summary
    itl_s: Summary
    e2el_s: Summary


class Power(Value):
    """Of the devices during the load; none where nothing measures it."""

    mean_w_per_device: float
    samples: int


class Telemetry(Value):
    """What was sampled beside the load."""

    client_cpu_s: float
    """Processor seconds of the load client between its first request and its last answer."""
    client_cpu_share: float
    """The same, as a share of one core."""
    server_rss_peak_bytes: int
    power: Power | None = None


class Counters(Value):
    """What the server counted over the load, from its /metrics."""

    prompt_tokens: int
    generation_tokens: int
    preemptions: int
    prefix_cache_hits: int
    requests_succeeded: int


class Counts(Value):
    """What the client counted."""

    requests: int
    completed: int
    failed: int
    input_tokens: int
    output_tokens: int
    chunks: int
    """Streamed answers; fewer than tokens where several came at once."""


class Gate(Value):
    """One check of a run; a failed one makes the record invalid."""

    name: str
    passed: bool
    found: str
    """What was measured and the bound, in words and figures."""


class Layers(Value):
    """What a kernel makes of a worker's layers when they are loaded."""

    gated: int = 0
    """Those that take its path where a step allows it."""
    refused: dict[str, int] = {}
    """The others, by reason."""


class Marker(Value):
    """What one worker counted on each path of a patched kernel: steps by number of tokens."""

    worker: int
    kernel: str = ""
    variant: str = ""
    vllm: str = ""
    bound: int | None = None
    """The most tokens of a step that the kernel takes."""
    layers: Layers = Layers()
    taken: dict[int, int] = {}
    """Steps that every layer took on the kernel's path."""
    taken_most: dict[int, int] = {}
    """Steps that some layer did: the same, unless layers part ways."""
    fallback: dict[int, int] = {}
    """Steps on vLLM's path."""
    error: str | None = None

    def since(self, before: Marker | None) -> Marker:
        """What was counted after an earlier answer of the same worker."""
        if before is None:
            return self.model_copy(update={"error": self.error or "it did not answer before the load"})
        counts = {
            path: {
                tokens: n - earlier.get(tokens, 0) for tokens, n in now.items() if n != earlier.get(tokens, 0)
            }
            for path, now, earlier in (
                ("taken", self.taken, before.taken),
                ("taken_most", self.taken_most, before.taken_most),
                ("fallback", self.fallback, before.fallback),
            )
        }
        return self.model_copy(update=counts)


class Failure(Value):
    """Why a point has no measurement."""

    reason: str
    """Name of the exit code."""
    message: str
    evidence: list[str] = []


class Load(Value):
    """What was asked of the client."""

    isl: int
    osl: int
    input_low: int
    input_high: int
    output_low: int
    output_high: int
    concurrency: int
    requests: int
    seed: int
    warmup_requests: int
    warmup_seed: int
    warmup_rate_per_s: float
    warmup_argv: list[str]
    argv: list[str]


class Clock(Value):
    """One moment on both clocks: monotonic times of this record lie on the wall clock by it."""

    monotonic_s: float
    wall_unix_s: float


class Phase(Value):
    """A part of the run, on the monotonic clock."""

    name: str
    start_s: float
    duration_s: float


class Node(Value):
    """The machine."""

    hostname: str
    os_release: str
    cpu_model: str
    cores: int
    server_cores: list[int]
    client_cores: list[int]
    memory_bytes: int
    gpu_model: str | None = None
    gpu_serials: list[str] = []
    driver: str | None = None
    clock_mhz: int | None = None
    power_cap_w: float | None = None
    name: str | None = None
    """The scheduler's name of the node."""
    runtime: str | None = None
    """Container runtime with its version, where there is one."""


class Observed(Value):
    """The key with what the node found."""

    key: str
    parts: dict[str, Any]
    reusable: bool
    why_not: list[str]


class Files(Value):
    """Raw data beside the record, by name."""

    requests: str
    requests_sha256: str
    requests_bytes: int
    itls: str
    itls_sha256: str
    itls_bytes: int


class Record(Value):
    """One point of one run."""

    schema_version: Literal[1] = 1
    point: str
    key: str
    parts: dict[str, Any]
    vary: list[str]
    observed: Observed | None
    status: Literal["measured", "invalid", "failed"]
    failure: Failure | None
    job: str
    recipe: str = ""
    """Whose point it is, where that is not the recipe in the point's name: it was compared under the other's."""
    rules: Rules = Rules()
    """How a change to it is judged."""
    block: int = 1
    """2 where a point that was flagged is measured once more."""
    allocation: str
    arm: Arm
    run_index: int
    position: int
    """How many points came before this one on the server."""
    points_before: list[str]
    points_in_run: list[str]
    """The server's whole list: runs are compared only with equal lists."""
    server_age_s: float
    """From the server's start to the load."""
    devices: int
    precision: str
    image: str
    squash_sha256: str | None = None
    """Hash of the imported image file, compared before the run."""
    model: str
    provenance: Provenance
    vllm_version: str
    serve_argv: list[str]
    serve_env: dict[str, str]
    node: Node
    clock: Clock
    phases: list[Phase]
    load: Load | None = None
    counts: Counts | None = None
    whole: Window | None = None
    steady: Window | None = None
    counters: Counters | None = None
    telemetry: Telemetry | None = None
    marker: list[Marker] = []
    """Of a patched kernel, by worker, over the load."""
    gates: list[Gate] = []
    files: Files | None = None


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all.

    Raises:
        RunFailed: STORAGE_FULL when the disk or a quota is full; nothing half-written stays.
    """
    path = path.resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, private = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise storage_error(path, error) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), _mode(path))
        Path(private).replace(path)
    except BaseException as error:
        Path(private).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise storage_error(path, error) from error
        raise


def _mode(path: Path) -> int:
    """The mode of the file that is replaced, else what a new file gets; a private temporary one has 0600."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def storage_error(path: Path, error: OSError) -> HarnessError:
    """What an error of the file system means for a run."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return RunFailed(
            Exit.STORAGE_FULL,
            f"{path.name} could not be written: {error.strerror}; records before it are whole. "
            f"Free space under {path.parent}, or give another --out",
        )
    return RunFailed(Exit.SETUP_FAILED, f"{path} could not be written: {error.strerror}")


def save(record: Record, folder: Path) -> Path:
    """Write a record into its folder."""
    path = folder / FILE
    write_whole(path, (record.model_dump_json(indent=1) + "\n").encode())
    return path


def read(path: Path) -> Record:
    """Read a record.

    Raises:
        HarnessError: RECORD_UNREADABLE, with the place where it stops being a record.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(
                os.fstat(file.fileno()).st_mode
            ):  # a guest may have left anything, links and pipes too
                raise HarnessError(Exit.RECORD_UNREADABLE, f"{path}: not a file")
            return Record.model_validate(json.loads(file.read()))
    except OSError as error:
        raise HarnessError(Exit.RECORD_UNREADABLE, f"{path}: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise HarnessError(
            Exit.RECORD_UNREADABLE,
            f"{path}:{error.lineno}:{error.colno}: not a whole record ({error.msg}); "
            "it was cut short or changed by hand: measure the point again, or take the file away",
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise HarnessError(
            Exit.RECORD_UNREADABLE, f"{path}: not a record of version {SCHEMA}: {where}: {first['msg']}"
        ) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise HarnessError(Exit.RECORD_UNREADABLE, f"{path}: not a record: {type(error).__name__}") from error


def packed(columns: dict[str, Any]) -> tuple[bytes, str]:
    """Columns as compressed JSON, the same bytes for the same data, and their hash."""
    content = gzip.compress(json.dumps(columns, separators=(",", ":")).encode(), mtime=0)
    return content, hashlib.sha256(content).hexdigest()
