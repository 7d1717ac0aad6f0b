"""Runs many calls of `vllm bench serve` without importing vLLM for each: imports once, then forks a child a call.

Runs under the Python that has vLLM. Each line on stdin is {"argv": [...], "log": PATH}; the child executes exactly what
the command `vllm` would with those arguments. Each answer on stdout is one line: {"ready"}, {"pid"}, {"rc", "cpu_s"}.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import sys
import traceback

IMPORTS = (
    "vllm.entrypoints.cli.main",
    "vllm.entrypoints.cli.benchmark.main",
    "vllm.entrypoints.cli.openai",
    "vllm.entrypoints.cli.serve",
    "vllm.entrypoints.cli.run_batch",
    "vllm.entrypoints.cli.collect_env",
    "vllm.benchmarks.serve",
    "vllm.platforms",
)
TOKENIZER_FILES = ["*.json", "*.model", "*.txt", "*.jinja", "*.py", "*.tiktoken"]
"""Of a model's repository."""


def answer(**fields: object) -> None:
    """Write one line to the node; the imports may have printed to stdout, so the real one was kept aside."""
    os.write(_ANSWERS, (json.dumps(fields) + "\n").encode())


def tokenizer(model: str, commit: str) -> list[str]:
    """Where a pinned model's tokenizer is: the client has no flag for a revision, and would take the default branch's."""
    if not commit or model.startswith("/"):
        return []
    hub = importlib.import_module("huggingface_hub")
    return ["--tokenizer", hub.snapshot_download(model, revision=commit, allow_patterns=TOKENIZER_FILES)]


def child(argv: list[str], log: str, parent: int, revision: tuple[str, str] = ("", "")) -> None:
    """Become the command, and end when the host ends: that wish does not survive a fork by itself (prctl(2))."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.argv = ["vllm", *argv]
    status = 1
    try:
        sys.argv += tokenizer(*revision)
        importlib.import_module("vllm.entrypoints.cli.main").main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - whatever it was, it belongs into the call's log
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    """Import, then serve calls until stdin ends."""
    for name in IMPORTS:
        try:
            importlib.import_module(name)
        except ImportError:  # another version has other modules; the child imports what it needs
            continue
    answer(ready=True)
    for line in sys.stdin:
        call = json.loads(line)
        host = os.getpid()
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.close(_ANSWERS)
            child(call["argv"], call["log"], host, tuple(call.get("revision", ("", ""))))
        answer(pid=pid)
        _, status, usage = os.wait4(pid, 0)
        answer(rc=os.waitstatus_to_exitcode(status), cpu_s=usage.ru_utime + usage.ru_stime)


if __name__ == "__main__":
    _ANSWERS = os.dup(1)
    os.dup2(2, 1)
    main()
