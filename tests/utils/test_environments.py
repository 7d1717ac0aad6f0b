"""Where packages come from."""

from __future__ import annotations

import pytest

from matrix.errors import HarnessError
from utils.environments import certificates, uv_arguments
from utils.house import _unbound

CONFIG = """\
:env:.find-links='/my/wheels'
global.cert='/etc/ca.crt'
global.extra-index-url='https://one.example/simple https://two.example/simple'
global.find-links='/other'
global.index-url='https://mirror.example/simple'
"""


def test_pips_own_settings_are_used() -> None:
    """Find-links, index and extra indexes; the environment wins over files, as in pip."""
    assert uv_arguments(CONFIG) == [
        *(
            "--extra-index-url",
            "https://one.example/simple",
            "--extra-index-url",
            "https://two.example/simple",
        ),
        *("--find-links", "/my/wheels", "--index-url", "https://mirror.example/simple"),
        *("--index-strategy", "unsafe-best-match"),
    ]


def test_pips_certificates_are_used() -> None:
    """Behind a proxy that signs for itself, uv must trust what pip trusts."""
    assert certificates(CONFIG) == {"SSL_CERT_FILE": "/etc/ca.crt"}
    assert certificates("") == {}


def test_without_settings_nothing_is_added() -> None:
    """Where pip has none, uv gets none."""
    assert uv_arguments("") == []


def test_a_lock_has_no_hash_for_local_builds() -> None:
    """Each index builds its own +cpu wheel."""
    text = "torch==2.13.0+cpu \\\n    --hash=sha256:aa\ntqdm==4 \\\n    --hash=sha256:bb\n"
    assert _unbound(text).splitlines()[1:] == ["torch==2.13.0+cpu", "tqdm==4 \\", "    --hash=sha256:bb"]


def test_an_environment_that_cannot_be_made_says_what_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the tool's own words."""
    from utils import environments

    with pytest.raises(HarnessError, match="pip's configuration"):
        environments._run(["sh", "-c", "echo no such package >&2; exit 1"])
    del monkeypatch
