"""Where packages come from, and where they do not go."""

from __future__ import annotations

from pathlib import Path

import pytest

from utils.setup import installers

CONFIG = """\
:env:.find-links='/my/wheels'
:env:.user='1'
global.cert='/etc/ca.crt'
global.extra-index-url='https://one.example/simple\\nhttps://two.example/simple'
global.find-links='/other'
global.index-url='https://mirror.example/simple'
global.target='/somewhere'
install.trusted-host="mirror.example"
user.index-url='https://own.example/simple'
"""


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose pip says CONFIG."""
    monkeypatch.setattr(installers, "settings", lambda _: installers.parsed(CONFIG))


def test_what_says_where_from_is_kept() -> None:
    """A person's file wins over the machine's, the environment over both, as in pip; where packages go is not kept."""
    found = installers.parsed(CONFIG)
    assert found["index-url"] == "https://own.example/simple"
    assert found["find-links"] == "/my/wheels"
    assert not {"user", "target"} & set(found)


def test_uv_asks_where_pip_asks() -> None:
    """Index, extra indexes, folders of wheels, hosts without a certificate."""
    assert installers.uv_arguments(installers.parsed(CONFIG)) == [
        *("--extra-index-url", "https://one.example/simple"),
        *("--extra-index-url", "https://two.example/simple"),
        *("--find-links", "/my/wheels"),
        *("--index-url", "https://own.example/simple"),
        *("--index-strategy", "unsafe-best-match"),
        *("--allow-insecure-host", "mirror.example"),
    ]
    assert installers.uv_arguments({}) == []


@pytest.mark.usefixtures("configured")
def test_pip_installs_where_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of PIP_USER, PIP_TARGET, PYTHONHOME or conda reaches it; its index does."""
    names = {
        "PIP_USER",
        "PIP_TARGET",
        "PIP_CONSTRAINT",
        "PYTHONHOME",
        "PYTHONPATH",
        "CONDA_PREFIX",
        "VIRTUAL_ENV",
    }
    for name in names:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    made = installers.for_pip("python3")
    assert not names & set(made)
    assert made["PIP_INDEX_URL"] == "https://own.example/simple"
    assert made["HTTPS_PROXY"] == "http://proxy.example:3128"


@pytest.mark.usefixtures("configured")
def test_uv_trusts_what_pip_trusts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Pip's certificates, the machine's own besides; its cache moves where the home cannot be written."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("UV_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    monkeypatch.setenv("UV_EXCLUDE_NEWER", "2020-01-01")
    made = installers.for_uv("python3", tmp_path / "cache")
    assert made["SSL_CERT_FILE"] == "/etc/ca.crt"
    assert made["UV_CACHE_DIR"] == str(tmp_path / "cache")
    assert "UV_EXCLUDE_NEWER" not in made
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new/cache"))
    assert "UV_CACHE_DIR" not in installers.for_uv("python3", tmp_path / "cache")
