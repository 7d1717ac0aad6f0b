"""What is asked outside the container: GPUs by sysfs and the vendors' tools, disks, devices, namespaces, images."""

from __future__ import annotations

import ast
import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from matrix.errors import Exit
from tests.conftest import ROOT, write
from tests.utils.node.host.fakes import AMD_METRIC, AMD_STATIC
from utils.node.host import gpus, image, ready


def host(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    """Questions to a node that is in order."""
    made: dict[str, Any] = {
        "runtime": "none",
        "folders": {"spool": str(tmp_path / "spool")},
        "shared": "",
        "models": "",
        "archives": "",
        "hub": [],
        "offline": False,
        "registries": [],
        "devices": [],
        "kind": "cpu",
        "gpus": 8,
        "gpu_model": "MI300X",
        "power_cap_w": None,
        "clock_mhz": None,
        "port": 0,
        "images": [],
    }
    return made | changes


def failed(questions: dict[str, Any]) -> list[str]:
    return [check.cause for check in ready.checks(questions) if not check.passed]


def test_it_runs_on_a_bare_python_and_writes_what_it_found(tmp_path: Path) -> None:
    """Without site-packages; what is imported is the standard library and each other."""
    (tmp_path / "host.json").write_text(json.dumps(host(tmp_path)))
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from utils.node.host import ready, image; "
        "sys.exit(ready.main(*sys.argv[2:]) or image.main(*sys.argv[2:]))"
    )
    files = [str(tmp_path / "host.json"), str(tmp_path / "found.json")]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(ROOT), *files],
        capture_output=True,
        text=True,
        check=False,
        env={"SLURM_JOB_ID": "7", "SLURM_CLUSTER_NAME": "c", "SLURMD_NODENAME": "mi0"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found == {"allocation": "slurm-c-7-0", "node": {"name": "mi0", "runtime": "none"}, "images": {}}
    assert all(json.loads(line)["facts"]["passed"] for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    "path", [*sorted((ROOT / "utils/node/host").glob("*.py")), ROOT / "utils/node/preflight.py"]
)
def test_its_syntax_is_that_of_python_3_9(path: Path) -> None:
    """Nodes of long-lived distributions have no newer one; annotations are text there."""
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Match)]
    if any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in tree.body):
        assert "from __future__ import annotations" in path.read_text()
    assert "slots=True" not in path.read_text()


def test_each_thing_that_is_wrong_has_a_cause_in_one_line(tmp_path: Path) -> None:
    """With the place in the cluster file to look at."""
    (tmp_path / "a-file").touch()
    (tmp_path / "empty").mkdir()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"folders": {"spool": str(tmp_path / "a-file/x")}}, "(paths.spool): Not a directory"),
        ({"folders": {"squash": "/proc/x"}}, "/proc/x (paths.squash)"),
        ({"models": str(tmp_path / "models")}, "(paths.models); is the node's disk mounted?"),
        (
            {"devices": ["/dev/nosuch"]},
            "/dev/nosuch is missing, empty or closed to this user (container.devices)",
        ),
        ({"devices": [str(tmp_path / "empty")]}, "missing, empty or closed"),
        ({"kind": "rocm"}, "0 GPUs where 8 are wanted"),
    ]
    for changes, cause in cases:
        (found,) = failed(host(tmp_path, **changes))
        assert cause in found
        assert "\n" not in found
    assert failed(host(tmp_path, devices=["/dev/null"])) == []


def test_a_full_disk(tmp_path: Path) -> None:
    """A real one, small and filled."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], check=True)
    try:
        (found,) = failed(host(tmp_path, folders={"squash": str(folder)}))
        assert "GB free under" in found
        assert "(paths.squash); free some" in found
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_user_namespaces_that_are_used_up() -> None:
    """Really: in a namespace of which the limit is 0."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from utils.node.host import ready; "
        "open('/proc/sys/user/max_user_namespaces', 'w').write('0'); print(ready.user_namespaces())"
    )
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", sys.executable, "-I", "-c", code, str(ROOT)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "passed=False" in done.stdout
    assert "their number is used up" in done.stdout
    assert "/proc/sys/user/max_user_namespaces forbids them" in done.stdout
    assert ready.user_namespaces().passed


def test_a_runtime_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enroot there and pyxis not is told apart."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert failed(host(tmp_path, runtime="charliecloud")) == ["ch-run is missing on this node (charliecloud)"]
    assert failed(host(tmp_path, runtime="pyxis")) == ["enroot is missing on this node"]
    for name, text in (("enroot", "echo 4.1.2"), ("srun", "echo --container-name")):
        write(tmp_path / name, f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    assert failed(host(tmp_path, runtime="pyxis")) == [
        "pyxis is missing on this node: srun knows no --container-image"
    ]
    write(tmp_path / "srun", "#!/bin/sh\necho '      --container-image=...  [pyxis] the image'\n")
    assert failed(host(tmp_path, runtime="pyxis")) == []
    assert ready.runtime_version("pyxis") == "enroot 4.1.2, pyxis"


def kfd(root: Path, count: int) -> Path:
    """A KFD topology as the kernel lays it out: two CPUs, then GPUs."""
    for number in range(2 + count):
        units = 0 if number < 2 else 1216
        write(
            root / f"topology/nodes/{number}/properties",
            f"cpu_cores_count 96\nsimd_count {units}\nmem_banks_count 1\n",
        )
    return root


@pytest.mark.usefixtures("fake_amd")
def test_gpus_are_counted_by_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CPUs in the topology are none; a lost one, and one that Slurm did not give, are told."""
    assert gpus.count("rocm", kfd(tmp_path / "a", 8)) == 8
    assert gpus.count("cpu") is None
    monkeypatch.setattr(gpus.count, "__defaults__", (kfd(tmp_path / "b", 7),))
    assert failed(host(tmp_path, kind="rocm")) == [
        "7 GPUs where 8 are wanted (devices.count); one is lost, or its driver"
    ]
    monkeypatch.setattr(gpus.count, "__defaults__", (kfd(tmp_path / "cpx", 64),))
    assert failed(host(tmp_path, kind="rocm")) == [
        "64 GPUs where 8 are wanted (devices.count); they are partitioned, or the cluster file is wrong"
    ]
    monkeypatch.setattr(gpus.count, "__defaults__", (kfd(tmp_path / "c", 8),))
    monkeypatch.setenv("ROCR_VISIBLE_DEVICES", "0,1,2,3")
    assert failed(host(tmp_path, kind="rocm")) == ["Slurm gave 4 GPUs where 8 are wanted; see slurm.gres"]


@pytest.mark.usefixtures("fake_amd")
def test_stray_processes_are_those_that_hold_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A monitor that only has the device open is none."""
    root = kfd(tmp_path / "kfd", 8)
    write(root / "proc/1/vram_5", "1000000\n")
    assert gpus.strays("rocm", root) == []
    write(root / f"proc/{os.getpid()}/vram_5", "200000000\n")
    write(root / f"proc/{os.getpid()}/vram_6", "200000000\n")
    (found,) = gpus.strays("rocm", root) or []
    assert found.startswith(f"{os.getpid()} ")
    monkeypatch.setattr(gpus.count, "__defaults__", (root,))
    monkeypatch.setattr(gpus.strays, "__defaults__", (root,))
    (cause,) = failed(host(tmp_path, kind="rocm"))
    assert cause.startswith(f"GPU memory is held by {os.getpid()} ")


@pytest.mark.parametrize("wrap", [lambda gpu: [gpu], lambda gpu: {"gpu_data": [gpu]}])
def test_facts_of_amd_smi(wrap: Any) -> None:
    """Both shapes that its versions print; the cap that is set counts, not the highest possible one."""
    assert gpus.amd(json.dumps(wrap(AMD_STATIC)), json.dumps(wrap(AMD_METRIC))) == {
        "gpu_model": "AMD Instinct MI300X",
        "driver": "6.10.5",
        "gpu_serials": ["0x6F1F"],
        "power_cap_w": 700,
        "clock_mhz": 2100,
    }
    silent = {"gpu": 0, "asic": "N/A", "limit": {"socket_power": "N/A"}, "driver": {"version": "N/A"}}
    assert gpus.amd(json.dumps(wrap(silent)), "") == {"power_cap_w": None}
    assert gpus.amd("not json", '"text"') == {}
    two = [AMD_STATIC, {**AMD_STATIC, "limit": "N/A"}]
    assert gpus.amd(json.dumps(two), "")["power_cap_w"] is None, (
        "the cap of one is unknown, so that of all is"
    )


def test_facts_of_nvidia_smi() -> None:
    """`--query-gpu` as CSV; N/A is left out."""
    text = "NVIDIA H100 80GB HBM3, 1650, 570.1, 700.00, 1980\nNVIDIA H100 80GB HBM3, 1651, 570.1, 650.00, [N/A]\n"
    assert gpus.nvidia(text) == {
        "gpu_model": "NVIDIA H100 80GB HBM3",
        "driver": "570.1",
        "gpu_serials": ["1650", "1651"],
        "power_cap_w": 650.0,
        "clock_mhz": 1980,
    }
    assert gpus.nvidia("") == {}


def test_a_power_cap_or_clock_that_differs_is_no_node_for_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where it is asked for and no tool says it, that is a failed check, never a silent pass."""
    monkeypatch.setattr(gpus, "facts", lambda _: {"power_cap_w": 550, "clock_mhz": 2100})
    asked = host(tmp_path, power_cap_w=750, clock_mhz=2100)
    assert failed(asked) == ["power_cap_w is 550 W, 750 W are wanted (devices.power_cap_w)"]
    monkeypatch.setattr(gpus, "facts", lambda _: {"power_cap_w": None})
    assert failed(asked) == [
        "power_cap_w is not reported by the vendor's tool, 750 W are wanted (devices.power_cap_w)",
        "clock_mhz is not reported by the vendor's tool, 2100 MHz are wanted (devices.clock_mhz)",
    ]


def test_a_power_cap_under_its_newer_name() -> None:
    """amd-smi of 2026 has it below ppt0."""
    limit = {
        "ppt0": {
            "max_power_limit": {"value": 750, "unit": "W"},
            "socket_power_limit": {"value": 500, "unit": "W"},
        }
    }
    assert gpus.amd(json.dumps([{"gpu": 0, "limit": limit}]), "[]") == {"power_cap_w": 500}


@pytest.mark.parametrize(
    ("modes", "found"),
    [([("SPX", "NPS1", 0)] * 2, "SPX/NPS1"), ([("CPX", "NPS4", 0), ("CPX", "NPS4", 1)], "CPX/NPS4"),
     ([("SPX", "NPS1", 0), ("CPX", "NPS4", 0)], "mixed")],
)  # fmt: skip
def test_partitioned_gpus_are_no_node_for_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modes: list[tuple[str, str, int]], found: str
) -> None:
    """Tp 8 would run on eight slices of one GPU; the modes are facts of a record."""
    static = [
        {"gpu": i, "partition": {"compute_partition": c, "memory_partition": m, "partition_id": p}}
        for i, (c, m, p) in enumerate(modes)
    ]
    facts = gpus.amd(json.dumps(static), "[]")
    assert facts["partition"] == found
    monkeypatch.setattr(gpus, "facts", lambda _: facts)
    causes = failed(host(tmp_path))
    assert [cause.split(",")[0] for cause in causes] == (
        [] if found == "SPX/NPS1" else [f"GPUs are partitioned as {found}"]
    )


def entry(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    """An import that copies, and counts how often it is asked."""
    command = ["sh", "-c", f'echo x >>{tmp_path}/imports; cp {tmp_path}/source "$1"', "sh", image.OUTPUT]
    path = str(tmp_path / "squash/app.sqsh")
    made = {"image": "org/app:1", "path": path, "import": command, "archive": "", "digest": []}
    return made | {"mounts_by_itself": False} | changes


def ensure(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    return image.ensure(entry(tmp_path, **changes))


def imports(tmp_path: Path) -> int:
    return len((tmp_path / "imports").read_text().split())


def test_an_image_is_imported_once(tmp_path: Path) -> None:
    """Under a private name, then renamed; its hash is kept beside it."""
    (tmp_path / "source").write_bytes(b"squash" * 1000)
    first = ensure(tmp_path)
    assert ensure(tmp_path) == first
    assert imports(tmp_path) == 1
    assert first["sha256"] == image.digest(tmp_path / "source")
    assert sorted(path.name for path in (tmp_path / "squash").iterdir() if "lock" not in path.name) == [
        "app.sqsh",
        "app.sqsh.json",
    ]


def test_flipped_bits_are_found_and_the_image_is_imported_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing else would tell of them; the way to clear it by hand is named."""
    (tmp_path / "source").write_bytes(b"squash" * 1000)
    ensure(tmp_path)
    path = tmp_path / "squash/app.sqsh"
    content = bytearray(path.read_bytes())
    content[3000] ^= 1
    path.write_bytes(content)
    ensure(tmp_path)
    assert imports(tmp_path) == 2
    assert path.read_bytes() == (tmp_path / "source").read_bytes()
    assert f"To clear it by hand: rm {path} {path}.json" in capsys.readouterr().out


def test_a_file_without_a_hash_is_nobodys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Such as one that a killed import of another tool left."""
    (tmp_path / "source").write_bytes(b"new")
    write(tmp_path / "squash/app.sqsh", "half")
    write(tmp_path / "squash/.app.sqsh.99.part", "half of ours")
    ensure(tmp_path)
    assert (tmp_path / "squash/app.sqsh").read_bytes() == b"new"
    assert not (tmp_path / "squash/.app.sqsh.99.part").exists()
    told = capsys.readouterr().out
    assert "has no hash beside it" in told
    assert "an import was killed" in told


def test_a_tag_that_moved_is_imported_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The registry is asked what it stands for today; one that does not answer is no reason not to measure."""
    (tmp_path / "source").write_bytes(b"old")
    for digest in ("a", "a", "b"):
        said = ["echo", f"sha256:{digest * 64}"]
        ensure(tmp_path, digest=said)
    assert imports(tmp_path) == 2
    assert f"was made from sha256:{'a' * 64}, now it is sha256:{'b' * 64}" in capsys.readouterr().out
    ensure(tmp_path, digest=["sh", "-c", "echo 'curl: (7) refused' >&2; exit 7"])
    ensure(tmp_path, digest=["/nosuch/enroot"])
    assert imports(tmp_path) == 2
    assert "does not say what org/app:1 is today (curl: (7) refused)" in capsys.readouterr().out


FSTABS = {
    "": "",
    "# UNCONFIGURED FSTAB FOR BASE SYSTEM\n": "",
    "${ENROOT_ROOTFS}/data /data none x-create=dir,bind,rw,nosuid,nodev\n": "",
    "/home /host none rbind,rw,x-create=dir 0 -1\n": "/home /host",
    "${ENROOT_ROOTFS}/link /link none bind\n": "/link /link",
    "${ENROOT_ROOTFS}/link/deep /link/deep none bind\n": "/link/deep",
    "${ENROOT_ROOTFS}/../x /../x none bind\n": "/../x",
    "${ENROOT_ROOTFS}/data /elsewhere none bind\n": "/elsewhere",
    "${ENROOT_ROOTFS}/data /data none bind,$(id)\n": "$(id)",
    "${ENROOT_ROOTFS}/data /data none bind 0 0 /home /host none rbind\n": "/home /host",
}


@pytest.mark.debian
@pytest.mark.parametrize("which", ["etc/fstab", "etc"])
def test_an_fstab_behind_a_link_is_refused(tmp_path: Path, which: str) -> None:
    """What enroot would read is not what a look at the file shows; nor is a file that is no image at all let through."""
    root = tmp_path / "root"
    write(root / "opt/etc/fstab", "/home /host none rbind\n")
    (root / which).parent.mkdir(exist_ok=True)
    (root / which).symlink_to("../opt/etc/fstab" if which.endswith("fstab") else "opt/etc")
    subprocess.run(
        ["mksquashfs", str(root), str(tmp_path / "source"), "-quiet"], check=True, stdout=subprocess.DEVNULL
    )
    with pytest.raises(image.ImportFailedError, match="is a link"):
        ensure(tmp_path, mounts_by_itself=True)
    (tmp_path / "source").write_bytes(b"no image")
    with pytest.raises(image.ImportFailedError, match="cannot be looked into"):
        ensure(tmp_path, mounts_by_itself=True)
    assert not (tmp_path / "squash/app.sqsh").exists()


@pytest.mark.debian
@pytest.mark.parametrize(("fstab", "refused"), FSTABS.items())
def test_an_image_that_would_mount_folders_of_the_node_is_refused(
    tmp_path: Path, fstab: str, refused: str
) -> None:
    """Enroot mounts what an image's own /etc/fstab says: a way out of the container. Volumes as its import writes them may stand."""
    root = tmp_path / "root"
    write(root / "etc/fstab", fstab)
    (root / "data").mkdir()
    (root / "link").symlink_to("/home")
    subprocess.run(
        ["mksquashfs", str(root), str(tmp_path / "source"), "-quiet"], check=True, stdout=subprocess.DEVNULL
    )
    if not refused:
        assert ensure(tmp_path, mounts_by_itself=True)["sha256"]
        return
    with pytest.raises(image.ImportFailedError, match="mounts folders by itself") as error:
        ensure(tmp_path, mounts_by_itself=True)
    assert refused in str(error.value)
    assert not (tmp_path / "squash/app.sqsh").exists()


def test_an_archive_that_was_replaced_is_copied_anew(tmp_path: Path) -> None:
    """By its size and time; one that is gone does not take its copy away."""
    archive = tmp_path / "app.sqsh"
    archive.write_bytes(b"old")
    assert ensure(tmp_path, archive=str(archive))["bytes"] == 3
    archive.write_bytes(b"newer")
    assert ensure(tmp_path, archive=str(archive))["bytes"] == 5
    archive.unlink()
    assert ensure(tmp_path, archive=str(archive))["bytes"] == 5


def test_damaged_layers_are_named_with_the_way_to_clear_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They stay in the importer's cache, and each import would fail like this one."""
    monkeypatch.setenv("ENROOT_CACHE_PATH", "/raid/layers")
    broken = ["sh", "-c", "echo 'zstd: error 36 : Decoding error' >&2; exit 1"]
    with pytest.raises(image.ImportFailedError, match="zstd: error 36"):
        ensure(tmp_path, **{"import": broken})
    assert "rm -r /raid/layers" in capsys.readouterr().out


def test_an_import_that_fails_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its stderr is evidence for the launcher; so is a missing archive."""
    broken = ["sh", "-c", 'echo half >"$1"; echo "curl: (7) refused" >&2; exit 7', "sh", image.OUTPUT]
    (tmp_path / "host.json").write_text(json.dumps({"images": [entry(tmp_path, **{"import": broken})]}))
    (tmp_path / "found.json").write_text("{}")
    assert (
        image.main(str(tmp_path / "host.json"), str(tmp_path / "found.json"))
        == Exit.IMAGE_FAILED
        == image.FAILED
    )
    told = capsys.readouterr()
    assert "curl: (7) refused" in told.err
    assert "org/app:1 could not be imported: curl: (7) refused" in told.out
    missing = entry(tmp_path, archive=str(tmp_path / "nosuch.sqsh"))
    (tmp_path / "host.json").write_text(json.dumps({"images": [missing]}))
    assert image.main(str(tmp_path / "host.json"), str(tmp_path / "found.json")) == image.FAILED
    assert f"servematrix: No such file or directory: {tmp_path}/nosuch.sqsh" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "squash").iterdir() if "lock" not in path.name] == []


def _ensure(tmp_path: Path) -> None:
    slow = [
        "sh",
        "-c",
        f'echo x >>{tmp_path}/imports; sleep 0.5; cp {tmp_path}/source "$1"',
        "sh",
        image.OUTPUT,
    ]
    ensure(tmp_path, **{"import": slow})


def test_jobs_that_want_one_image_at_once_import_it_once(tmp_path: Path) -> None:
    """The others wait, and then find it."""
    (tmp_path / "source").write_bytes(b"squash")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_ensure, args=(tmp_path,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert imports(tmp_path) == 1


def test_images_that_nobody_uses_are_named(tmp_path: Path) -> None:
    """With the command that clears them."""
    (tmp_path / "source").write_bytes(b"squash")
    ensure(tmp_path)
    folder = tmp_path / "squash"
    assert image.unused(folder, time.time()) == []
    (line,) = image.unused(folder, time.time() + 40 * 86400)
    assert line.endswith(f"was not used for 40 days; clear it: rm {folder}/app.sqsh {folder}/app.sqsh.json")
