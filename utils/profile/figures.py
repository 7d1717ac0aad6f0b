"""What a profile says: plain values, for tables, JSON and whoever compares."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Kernel:
    """One name, in the mean step of its phase."""

    name: str
    family: str
    calls: float
    ms: float


@dataclass(frozen=True, slots=True)
class Family:
    """All kernels of a family, in the mean step."""

    family: str
    kernels: int
    """Different names."""
    calls: float
    ms: float
    share: float
    """Of all kernels' time."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Layers with the same kernels in the same order."""

    layers: int
    kernels: int
    sparse: bool
    last: bool
    """It is the last layer, and so holds what follows it too: the last norm, logits, sampling."""
    ms: float
    """The median from its begin to the next one's."""


@dataclass(frozen=True, slots=True)
class Layers:
    """Layers of a phase's steps."""

    layers: int
    sparse: int
    """With experts."""
    how: str
    expert_ms: float
    """Kernels from the first to the last one of the experts, of all sparse layers of the mean step."""
    expert_span_ms: float
    """The same from begin to end, with gaps."""
    kinds: list[Kind]
    alike: int
    """Steps with this number of layers; the others are in no figure here."""
    steps: int


@dataclass(frozen=True, slots=True)
class Gap:
    """The device had nothing to do."""

    step: int
    at_ms: float
    """After the step's begin."""
    ms: float
    starved_ms: float | None
    """None where the launch of what came next is not known."""
    after: str
    before: str


@dataclass(frozen=True, slots=True)
class StepFigures:
    """One step, in milliseconds."""

    number: int
    phase: str
    requests: int | None
    tokens: int | None
    ms: float
    """To the next step's begin; the last one's to the end of its own work."""
    busy_ms: float
    """At least one stream had work."""
    overlap_ms: float
    """At least two had."""
    idle_ms: float
    """None had."""
    starved_ms: float | None
    """Idle, and the host had not yet called for what came next. None where no launch is known."""
    queued_ms: float | None
    """Idle, though it had: the launch's own way, or a wait for another stream."""
    has_next: bool


@dataclass(frozen=True, slots=True)
class Phase:
    """Steps of one kind; figures are means of a step."""

    phase: str
    steps: list[StepFigures]
    kernels: list[Kernel]
    families: list[Family]
    layers: Layers | None
    gaps: list[Gap]
    """The longest, of all its steps."""

    @property
    def kernel_ms(self) -> float:
        """Time of all kernels of the mean step; above what is busy where streams overlap."""
        return sum(one.ms for one in self.families)


@dataclass(frozen=True, slots=True)
class Totals:
    """Of the whole trace, in milliseconds: what torch's key_averages adds up."""

    own_ms: float
    """Kernels and copies; of a trace without a GPU operators, each without what it called."""
    annotations_ms: float
    """Own time of annotations on the host, which key_averages counts too; 0 with a GPU."""
    outside_ms: float
    """Of the first: what no step called for."""
    calls: int
    by_graph: int
    """Of those: called for by a launch of a graph."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One trace."""

    trace: str
    rank: int | None
    world_size: int | None
    vllm: str | None
    device: str
    """Its number and name, or `host`."""
    megabytes: float
    events: int
    how: str
    """How its steps were found."""
    phases: list[Phase]
    totals: Totals
    streams: dict[str, float]
    """Milliseconds of work on each."""
    remarks: list[str] = field(default_factory=list)

    @property
    def engine(self) -> str:
        """Name and version of what was profiled; empty where the trace does not say it."""
        return f"vLLM {self.vllm}" if self.vllm else ""

    def phase(self, name: str) -> Phase | None:
        """One of its phases."""
        return next((one for one in self.phases if one.phase == name), None)
