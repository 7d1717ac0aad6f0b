"""What a machine has besides GPUs: models in the cache, registries that answer, kernel settings."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import write
from tests.utils.node.host.made import host
from utils.node import preflight
from utils.node.host import machine


def test_the_model_cache_is_looked_into(tmp_path: Path) -> None:
    """Offline, a model that is not there is a problem; else the first server fetches it."""
    (tmp_path / "models--org--m/snapshots/abc").mkdir(parents=True)
    wanted = [["org/m", "abc"], ["org/m", ""], ["org/m", "def"], ["org/other", ""]]
    questions = host(tmp_path, models=str(tmp_path), hub=wanted)
    assert [one.level for one in machine.cached_models(questions)] == ["ok", "ok", "note", "note"]
    found = list(machine.cached_models({**questions, "offline": True}))
    assert [one.level for one in found] == ["ok", "ok", "problem", "problem"]
    assert found[2].found == f"org/m at def is not in {tmp_path}"


@pytest.mark.parametrize(("code", "level"), [(401, "ok"), (200, "ok"), (503, "note"), (None, "note")])
def test_a_registry_is_asked_for_a_sign_of_life(code: int | None, level: str) -> None:
    """A real HTTP server; one that nobody runs, or that is broken, is a note."""

    class Registry(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            assert self.path == "/v2/"
            self.send_response(code or 500)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Registry) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        name = f"127.0.0.1:{server.server_port}"
        if code is None:
            server.shutdown()
            server.socket.close()
        found = machine.registry(name)
        if code is not None:
            server.shutdown()
    assert found.level == level
    assert found.found.startswith(f"{name} answers ({code})" if code else f"{name} does not answer (")


@pytest.mark.parametrize("kind", ["cpu", "rocm"])
def test_kernel_settings_are_notes_for_gpus_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """They refuse no node."""
    settings = {"numa_balancing": "1\n", "transparent_hugepage": "always madvise [never]\n"}
    for name, text in settings.items():
        write(tmp_path / name, text)
    monkeypatch.setattr(preflight, "SETTINGS", {name: str(tmp_path / name) for name in settings})
    assert preflight.machine()["transparent_hugepage"] == "never"
    found = {one.name: one for one in machine.checks(host(tmp_path, kind=kind))}
    assert {found[name].level for name in ("NUMA balancing", "huge pages")} == {
        "ok" if kind == "cpu" else "note"
    }
    assert found["NUMA balancing"].found == "on"
