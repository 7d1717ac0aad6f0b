"""A job's commands as a shell script that a person can read and run."""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from matrix import tree as trees
from matrix.protocol import requests
from matrix.vllm.model_variables import is_of_models
from utils.node import caches, marker
from utils.node.vllm import client_host, invocation, load, plugin
from utils.node.vllm.server import FIRST_PROMPT

if TYPE_CHECKING:
    from matrix.plan import Job, Point
    from utils.launch.interface import Order

_PORT = 8000


class Shell(str):
    """A word that is shell already, such as "$port"."""

    __slots__ = ()


def environment() -> jinja2.Environment:
    """Templates with strict names and a filter for each way of quoting."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("utils.launch"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - shell, not HTML: every value goes through `quote` or `command`
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["quote"] = shlex.quote
    made.filters["command"] = _wrapped
    return made


def render(
    order: Order, job: Job, *, program: str, python: str, arm: str = "", enter: str = "", tree: str = ""
) -> str:
    """The commands of a job: server, and for each point warm-up and load, exactly as the node runs them.

    They want the functions that `whole` puts in front.

    Args:
        order: its clusters and its tree.
        job: of one arm.
        program: the command that serves, and that loads.
        python: that has it.
        arm: which one, where there are two.
        enter: how to get to where the script runs, for a person to read.
        tree: where models and kernels of the tree are then; the order's, unless said.
    """
    cluster = order.clusters[job.cluster]
    tree = tree or str(order.tree)
    first = job.points[0]
    model = trees.model_path(first.model, tree)
    revision = "" if model.startswith("/") else first.revision or ""
    of_models = {name: text for name, text in job.serve.env.items() if is_of_models(name)}
    recipe = first.id.split("/")[0]
    return (
        environment()
        .get_template("by-hand.sh.j2")
        .render(
            job=job,
            arm=arm,
            port=cluster.port or _PORT,
            out=f"{recipe}-{arm}" if arm else recipe,
            log=f"{job.id.removeprefix(f'{recipe}.')}.server.log",
            shared=of_models,
            own={name: text for name, text in job.serve.env.items() if name not in of_models},
            env_from=cluster.env_from,
            client_cores=cluster.client_cores,
            container=cluster.container.runtime != "none",
            path=_path(program),
            caches=caches.variables(Path()),
            enter=enter,
            tree=tree,
            packages=[_package(one, order.tree, cluster.devices.arch) for one in plugin.packages(job)],
            kernel=first.kernel,
            variant=plugin.VARIANT,
            marker=marker.FOLDER,
            serve=[program, *_with_port(invocation.serve(job.serve, model, _PORT))],
            ready_s=int(cluster.limits.ready_s),
            completion=json.dumps(
                {
                    "model": model,
                    "prompt": FIRST_PROMPT,
                    "max_tokens": 4,
                    "temperature": 0,
                    "ignore_eos": True,
                }
            ),
            revision=revision,
            tokenizer=_tokenizer(python, model, revision),
            points=[_commands(point, model, program, pinned=bool(revision)) for point in job.points],
        )
    )


def whole(*jobs: str) -> str:
    """A script of the commands of jobs, one after another."""
    functions = (Path(__file__).parent / "templates/by-hand-functions.sh").read_text()
    return "\n".join((functions, *jobs))


def _path(program: str) -> str:
    """The search path with the program's folder in front."""
    front = shlex.quote(f"PATH={Path(program).parent}:") if "/" in program else ""
    return f'{front}"$PATH"' if front else '"PATH=$PATH"'


def _package(one: plugin.Package, root: Path, arch: str) -> dict[str, Any]:
    folder = root / trees.package(one.name)
    files = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in one.shipped(root, arch)
    }
    return {
        "name": one.name,
        "folder": trees.package(one.name),
        "module": one.module,
        "files": files,
        "metadata": one.metadata,
        "metadata_files": one.metadata_files,
    }


def _tokenizer(python: str, model: str, revision: str) -> list[str]:
    program = (
        "import sys, huggingface_hub as hub; "
        "print(hub.snapshot_download(sys.argv[1], revision=sys.argv[2], allow_patterns=sys.argv[3:]))"
    )
    return [python, "-c", program, model, revision, *client_host.TOKENIZER_FILES]


def _commands(point: Point, model: str, program: str, *, pinned: bool) -> dict[str, Any]:
    short = point.id.split("/")[1]
    folder = Shell(f'"$out"/{shlex.quote(short)}')
    more = ["--tokenizer", Shell('"$tokenizer"')] if pinned else []

    def words(call: load.Call) -> list[str]:
        return [program, *_with_port([folder if word == short else word for word in load.argv(call)]), *more]

    return {
        "id": point.id,
        "short": short,
        "workers": marker.workers(point),
        "min_duration_s": point.protocol.min_duration_s,
        "warmup": words(invocation.warmup(point, model, _PORT, short)),
        "load": words(invocation.measured(point, model, _PORT, short, rate_per_s=0.0)),
        "least": requests(point.protocol, point.concurrency, 0.0),
    }


def _with_port(argv: list[str]) -> list[str]:
    """With the script's own variable."""
    at = argv.index("--port") + 1
    return [*argv[:at], Shell('"$port"'), *argv[at + 1 :]]


def _wrapped(argv: list[str], indent: int = 2) -> str:
    """A command with its options on lines of their own, quoted."""
    lines: list[str] = []
    for word in argv:
        quoted = word if isinstance(word, Shell) else shlex.quote(word)
        if word.startswith("--") or not lines:
            lines.append(quoted)
        else:
            lines[-1] += f" {quoted}"
    return f" \\\n{' ' * indent}".join(lines)
