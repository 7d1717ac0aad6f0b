"""The record: everything that a run leaves for a point. Units stand in the names; written whole or not at all."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from matrix.errors import WORTH_ANOTHER_TRY, Exit
from matrix.metrics import JUDGED
from matrix.plan import Arm
from matrix.rules import Rules
from matrix.schema import Kept
from utils.node.kernel_counts import Marker
from utils.node.spec import Provenance

SCHEMA = 2
FILE = "record.json"
LATEST_S = 4_102_444_800.0
"""The year 2100: a clock beyond it is no clock."""
BROKEN = "broken.json"
"""Marks a folder whose records are of a block that broke off: kept raw, and never judged."""
Environment = Literal["", "image", "locked", "own"]
VALUES_NEEDED = {"p50": 5, "p90": 29, "p99": 299, "p999": 2995}
"""Values that a one-sided 95 % bound of a percentile needs: the smallest n with q^n <= 5 %."""


class Summary(Kept):
    """Of one quantity over requests or tokens; a percentile is there only where n supports it."""

    n: int
    mean: float
    std: float
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    p999: float | None = None


class Window(Kept):
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


class Power(Kept):
    """Of the devices over the measured window, integrated from samples; none where nothing measures it."""

    meter: str
    """What was asked: amd-smi, nvidia-smi; rapl where the processors are the devices."""
    mean_w_per_device: float | None = None
    """None where `invalid` says why."""
    joules_per_output_token: float | None = None
    joules_per_token: float | None = None
    """Input and output."""
    total_tok_per_s_per_w: float | None = None
    mean_utilisation: float | None = None
    """Of the devices, 0 to 1: the share of time in which a kernel ran, however few of its units worked."""
    mean_clock_mhz: float | None = None
    mean_memory_clock_mhz: float | None = None
    max_temperature_c: float | None = None
    max_memory_bytes: float | None = None
    throttled: list[str] = []
    """Reasons that the devices gave for lower clocks."""
    slowed_share: float | None = None
    """Of the samples whose reasons are known: heat, a brake or a fault lowered a clock; a power cap is none of them."""
    throttled_before: list[str] = []
    """Reasons in the ten seconds before the window."""
    host_mean_w: float | None = None
    """Of the processors' packages, where they have a counter."""
    samples: int = 0
    """Inside the window, of the devices that count."""
    invalid: list[str] = []
    """Why there is no figure: gap, count, not bracketed, impossible."""


class MachineLoad(Kept):
    """What else the machine did over the window."""

    load_1min: float | None = None
    cpu_pressure_share: float | None = None
    """Of the window in which some process waited for a core (PSI)."""
    memory_stall_share: float | None = None
    """Of the window in which all that was to run waited for memory (PSI)."""
    steal_share: float | None = None
    foreign_core_s: float | None = None
    """Processor seconds of others on the pinned cores."""
    foreign_share: float | None = None
    """The same, over the window and the pinned cores."""
    foreign_gpu_processes: list[str] = []


class Cache(Kept):
    """A compile cache that the server used."""

    name: str
    """triton, inductor, flashinfer, aiter."""
    digest: str
    filled_by: str
    """The canary that did, or this run."""
    read_only: bool


class Accuracy(Kept):
    """Whether the answers are as good as the base's: parity on the servers of a pair, or an evaluation that a recipe asks for."""

    kind: Literal["parity", "task"]
    name: str
    verdict: Literal["passed", "failed", "not tested"]
    figures: dict[str, float] = {}
    why: str = ""


class ServerWindow(Kept):
    """What the server's own metrics say of the window."""

    queue_s: Summary | None = None
    prefill_s: Summary | None = None
    decode_s: Summary | None = None
    """From a request's first token to its last one, in the engine."""
    engines: dict[str, int] | None = None
    """Requests that each engine behind this server finished over the load, where there are several."""
    kv_use_max: float | None = None
    running_mean: float | None = None
    waiting_mean: float | None = None
    acceptance: float | None = None
    """Of drafted tokens."""
    saturated: bool | None = None


class Telemetry(Kept):
    """What was sampled beside the load."""

    client_cpu_s: float
    """Processor seconds of the load client between its first request and its last answer."""
    client_cpu_share: float
    """The same, as a share of one core."""
    server_rss_peak_bytes: int
    machine: MachineLoad | None = None


class Counters(Kept):
    """What the server counted over the load, from its /metrics."""

    prompt_tokens: int
    generation_tokens: int
    preemptions: int
    prefix_cache_hits: int
    requests_succeeded: int


class Counts(Kept):
    """What the client counted."""

    requests: int
    completed: int
    failed: int
    input_tokens: int
    output_tokens: int
    chunks: int
    """Streamed answers; fewer than tokens where several came at once."""


class Gate(Kept):
    """One check of a run; a failed one makes the record invalid."""

    name: str
    passed: bool
    found: str
    """What was measured and the bound, in words and figures."""


class Failure(Kept):
    """Why a point has no measurement."""

    reason: str
    """Name of the exit code."""
    message: str
    evidence: list[str] = []
    retry: bool = False
    """Whether measuring the point again is worth it: it says nothing about the benchmark."""

    @classmethod
    def of(cls, code: Exit, message: str, evidence: list[str]) -> Failure:
        """From how a run ended."""
        return cls(reason=code.name, message=message, evidence=evidence, retry=code in WORTH_ANOTHER_TRY)


class Load(Kept):
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


class Clock(Kept):
    """One moment on both clocks: monotonic times of this record lie on the wall clock by it."""

    monotonic_s: float = Field(ge=0, le=LATEST_S, allow_inf_nan=False)
    wall_unix_s: float = Field(ge=0, le=LATEST_S, allow_inf_nan=False)


class Phase(Kept):
    """A part of the run, on the monotonic clock."""

    name: str
    start_s: float
    duration_s: float


class Node(Kept):
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
    partition: str | None = None
    """Compute and memory partition of the GPUs, such as SPX/NPS1; of NVIDIA's, `whole` or `MIG`."""
    firmware: dict[str, str] = {}
    """Part of the GPU -> version, such as CP_MEC1 or vbios; several versions are joined where GPUs differ."""
    clock_mhz: int | None = None
    power_cap_w: float | None = None
    name: str | None = None
    """The scheduler's name of the node."""
    runtime: str | None = None
    """Container runtime with its version, where there is one."""
    isolation: str | None = None
    """Whether the run had processes of its own, so that it could signal nothing outside; of a job on a cluster."""
    load_image: str | None = None
    """Image of the container of recorder and load client, where the server has one of its own; of a job on a cluster."""
    numa_balancing: str | None = None
    """The kernel's setting: 0 is off."""
    transparent_hugepage: str | None = None
    """The kernel's setting: always, madvise, never."""
    tool_notes: list[str] = []
    """What the vendor's tool warned of, and what it could not say."""


class Observed(Kept):
    """The key with what the node found."""

    key: str
    parts: dict[str, Any]
    reusable: bool
    why_not: list[str]


class Files(Kept):
    """Raw data beside the record, by name."""

    requests: str
    requests_sha256: str
    requests_bytes: int
    itls: str
    itls_sha256: str
    itls_bytes: int


def _known_rules(content: Any) -> Any:  # noqa: ANN401 - a rule as it was written
    """Rules without what a newer version added."""
    if not isinstance(content, dict):
        return content
    known = {name: value for name, value in content.items() if name in Rules.model_fields}
    if isinstance(floors := known.get("floors"), dict):
        known["floors"] = {name: floor for name, floor in floors.items() if name in JUDGED}
    if isinstance(names := known.get("metrics"), list):
        known["metrics"] = [name for name in names if name in JUDGED] or list(JUDGED)
    return known


class Record(Kept):
    """One point of one run."""

    schema_version: Literal[2] = 2
    point: str
    key: str
    parts: dict[str, Any]
    vary: list[str]
    observed: Observed | None
    status: Literal["measured", "invalid", "failed", "cancelled"]
    """`cancelled`: interrupted before, or while, it was measured."""
    failure: Failure | None
    job: str
    recipe: str = ""
    """Whose point it is, where that is not the recipe in the point's name: it was compared under the other's."""
    rules: Annotated[Rules, BeforeValidator(_known_rules)] = Rules()
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
    power: Power | None = None
    server: ServerWindow | None = None
    accuracy: list[Accuracy] = []
    caches: list[Cache] = []
    environment: Environment = ""
    """Whose packages ran: a container's image, a lock of this repository, a person's own; empty in records of version 1."""
    derived: list[str] = []
    """Figures that the client did not report, and that were made from what it did."""
    figures: Literal["claimed", "recomputed"] = "claimed"
    """Whether a job that did not measure made the figures anew from the raw requests."""
    notes: list[str] = []
    """What a reader of the figures should know, and no gate refuses."""
    traces: list[str] = []
    """Of a profile, below the run's folder; such a record is no measurement."""
    gates: list[Gate] = []
    files: Files | None = None
