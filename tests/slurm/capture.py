"""What a real Slurm prints for the questions that the launcher asks, of jobs and nodes in every state that is quickly had.

    sudo PYTHONPATH=. .environments/dev/bin/python -m tests.slurm.capture tests/data/slurm-outputs/22.05.yaml

`tests.slurm.releases` runs it in newer releases. The files are golden: tests/utils/launch/slurm/test_outputs.py reads them all alike.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import yaml

from tests.slurm.cluster import Cluster
from utils.launch.slurm import sight
from utils.launch.slurm.poll import SACCT
from utils.launch.slurm.states import FORMAT

DOWN_S = 90.0
"""Slurm notices a node without power after this at the latest."""
QUESTIONS = {
    "squeue": ["squeue", "--states=all", "--noheader", f"--Format={FORMAT}"],
    "partitions": ["sinfo", "--noheader", "--all", f"--format={sight.PARTITION}"],
    "nodes": ["sinfo", "--noheader", "--all", "--Node", f"--format={sight.NODE}"],
    "ping": ["scontrol", "ping"],
    "sacct": [*SACCT, "--jobs=1"],
    "completion": [*SACCT, "--completion", "--jobs=2"],
}
JOBS = {
    "good": (["--nodelist=mi0"], "true"),
    "three": (["--nodelist=mi0"], "exit 3"),
    "signal": (["--nodelist=mi0"], "kill -USR1 $$; sleep 1"),
    "long": (["--nodelist=mi0", "--exclusive"], "sleep 600"),
    "waits": (["--nodelist=mi0", "--exclusive"], "true"),
    "held": (["--hold"], "true"),
    "later": (["--begin=now+1hour"], "true"),
    "drained": (["--nodelist=mi1"], "true"),
    "ended": (["--nodelist=mi0"], "sleep 600"),
}
"""Name -> options and what the job does, in the order in which they are submitted."""
REFUSED = {
    "partition": ["--partition=nosuch"],
    "gres": ["--gres=gpu:h100:1"],
    "node": ["--nodelist=nosuch"],
    "memory": ["--mem=999999G"],
    "qos": ["--qos=nosuch"],
}


def said(cluster: Cluster, command: list[str]) -> dict[str, object]:
    """Both streams and the exit code, with this run's names replaced."""
    done = subprocess.run(
        command, env=cluster.env, capture_output=True, text=True, timeout=20, check=False, cwd="/"
    )
    host = cluster.call("hostname").strip()

    def plain(text: str) -> str:
        return text.replace(str(cluster.root), "/slurm").replace(host, "login")

    return {
        "command": [plain(word) for word in command],
        "rc": done.returncode,
        "stdout": plain(done.stdout),
        "stderr": plain(done.stderr),
    }


def _lines(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """A text of several lines as it was printed; YAML's block has no blanks at the ends of lines, so that those are cut."""
    cut = "".join(f"{line.rstrip()}\n" for line in text.splitlines()) if "\n" in text else text
    return dumper.represent_scalar("tag:yaml.org,2002:str", cut, style="|" if "\n" in text else None)


def main() -> None:
    """Start a Slurm, ask it, write the file."""
    found: dict[str, object] = {}
    with Cluster(names=("mi0", "mi1", "mi2")) as cluster:
        version = cluster.call("slurmctld", "-V").strip()
        cluster.call("scontrol", "update", "nodename=mi1", "state=drain", "reason=ECC errors | row 3")
        numbers = {}
        for name, (options, script) in JOBS.items():
            if name == "waits":
                time.sleep(4)  # the short ones end, the long one begins
            command = ["sbatch", "--parsable", f"--job-name={name}", "--output=/dev/null", *options]
            command.append(f"--wrap={script}")
            answer = said(cluster, command)
            numbers[name] = str(answer["stdout"]).strip().split(";")[0]
            found.setdefault("sbatch", answer)
        cluster.call("scancel", numbers["ended"])
        cluster.power_off("mi2")
        end = time.monotonic() + DOWN_S
        while "down" not in cluster.call("sinfo", "--noheader", "--Node", "--nodes=mi2", "--format=%T"):
            assert time.monotonic() < end, "mi2 is not down"
            time.sleep(1)
        found |= {name: said(cluster, command) for name, command in QUESTIONS.items()}
        found["refused"] = {
            name: said(cluster, ["sbatch", "--parsable", *options, "--wrap=true"])
            for name, options in REFUSED.items()
        }
        cluster.stop_controller()
        found["away"] = said(cluster, ["squeue", "--me"])
    yaml.SafeDumper.add_representer(str, _lines)
    text = yaml.safe_dump({"slurm": version, **found}, sort_keys=False, width=1000, allow_unicode=True)
    head = "# Printed by a real Slurm; made by tests/slurm/capture.py. Folder and host are replaced, nothing else.\n"
    Path(sys.argv[1]).write_text(head + text)


if __name__ == "__main__":
    main()
