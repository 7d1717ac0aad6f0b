"""Power is the host's meter's word, whatever a record says; what the meter saw of others, or of lowered clocks, cannot be left out."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import numpy as np
import pytest

from tests.utils.results.recompute.conftest import Honest
from utils.node.host.meter_tools import COLUMNS
from utils.node.record import Power, Record
from utils.results.recompute import check, figures, left, power

pytestmark = pytest.mark.hostile


@pytest.fixture
def honest(allocation: dict[str, Honest]) -> Iterator[Honest]:
    """A real load on two GPUs, with no samples yet."""
    one = allocation["head/c64"]
    yield one
    for name in power.FILES:
        (one.folder.parent.parent / name).unlink(missing_ok=True)


def sampled(honest: Honest, watts: dict[int, float], throttle: str = "", remark: str = "") -> bytes:
    """What the meter would have written around the load: so many watts a device, `remark` in the middle of it."""
    raw = left.read(honest.folder).raw
    lines = ["# meter amd-smi", ",".join(COLUMNS)]
    times = np.arange(raw.first_start_s - 20, raw.first_start_s + raw.duration_s + 5)
    for number, at in enumerate(times):
        if remark and number == len(times) // 2:
            lines.append(f"# others {at:.3f} {remark}")
        for device, drawn in watts.items():
            lines.append(f"{at:.3f},{device},{drawn},{0.9 if drawn > 300 else 0.0},1800,2000,1,60,{throttle}")
    return "\n".join([*lines, ""]).encode()


def saying(honest: Honest, watts: float) -> Record:
    """The record of an arm that says so much a device."""
    said = honest.one.model_copy(update={"power": Power(meter="amd-smi", mean_w_per_device=watts)})
    made = figures.fields(honest.asked, said, left.read(honest.folder))
    return Record.model_validate(said.model_dump() | {name: made[name] for name in ("gates", "notes")})


def judged(honest: Honest, content: bytes, one: Record | None = None, **found: object) -> Record:
    """The record as the judge keeps it, its samples compressed as a batch script leaves them."""
    (honest.folder.parent.parent / power.FILES[0]).write_bytes(gzip.compress(content))
    said = one or honest.one
    others = [said if other is honest.one else other for other in honest.others]
    looked = check.look(said, honest.folder, honest.asked, others, found)
    assert looked.differences == []
    return check.accepted(said, looked.seen)


def test_power_is_what_the_meter_saw(honest: Honest) -> None:
    """A record that says 300 W a device, with 700 drawn, has 700; with the energy of the raw requests' tokens."""
    said = saying(honest, 300.0)
    found = judged(honest, sampled(honest, {0: 690, 1: 710}), said).power
    assert found is not None
    assert found.invalid == []
    assert found.mean_w_per_device == pytest.approx(700)
    assert honest.one.whole is not None
    per_s = honest.one.whole.output_tok_per_s_per_device
    assert found.joules_per_output_token == pytest.approx(700 / per_s, rel=1e-3)


def test_devices_are_those_that_slurm_gave_or_the_recipe_names(honest: Honest) -> None:
    """Of four on the node, two idle; numbers of a container's arm come from the batch script's environment."""
    content = sampled(honest, {0: 90, 1: 90, 2: 650, 3: 650})
    given = {"visible": {"ROCR_VISIBLE_DEVICES": "2,3"}}
    boxed = honest.one.model_copy(update={"environment": "image"})
    (honest.folder.parent.parent / power.FILES[1]).write_bytes(content)
    raw = left.read(honest.folder).raw
    seen = power.outside(boxed, raw, honest.folder, given)
    assert seen is not None
    assert seen.power is not None
    assert seen.power.mean_w_per_device == pytest.approx(650)
    unknown = power.outside(boxed, raw, honest.folder, {})
    assert unknown is not None
    assert unknown.power is not None
    assert "count: devices 2, 3 worked" in unknown.power.invalid[0]


def test_what_the_meter_saw_of_others_cannot_be_left_out(honest: Honest) -> None:
    """A process on the devices, and clocks that heat lowered: a record without them is refused."""
    job = honest.folder.parent.parent
    (job / power.FILES[1]).write_bytes(sampled(honest, {0: 600, 1: 600}, "hardware thermal", "77 trainer"))
    fields = {one.field: one for one in honest.differences()}
    assert set(fields) == {"telemetry.machine.foreign_gpu_processes", "power.slowed_share"}
    assert "77 trainer" in str(fields["telemetry.machine.foreign_gpu_processes"])


@pytest.mark.parametrize("content", [b"", b"# meter none\n", b"\xff\xfe,,,,\n" * 9])
def test_a_meter_without_samples_gives_no_figure(honest: Honest, content: bytes) -> None:
    """Neither does the record's word for it; nothing else of the record is lost."""
    said = saying(honest, 300.0)
    found = judged(honest, content, said)
    assert found.power is None
    assert found.figures == "recomputed"


def test_without_a_meters_file_it_is_the_records_word(honest: Honest) -> None:
    """As of a launcher without a batch script; and where the file is cut, nothing is claimed of it."""
    said = saying(honest, 300.0)
    assert check.accepted(said, None).power == said.power
    cut = gzip.compress(sampled(honest, {0: 600, 1: 600}))[:-40]
    (honest.folder.parent.parent / power.FILES[0]).write_bytes(cut)
    assert power.outside(said, left.read(honest.folder).raw, honest.folder, {}) is None
