"""Which digest a tag of a container registry is today: HEAD of its manifest, and the token that a registry gives to anybody.

The protocol is https://github.com/opencontainers/distribution-spec (end-3); how a token is asked for, and the names of a list of
manifests: https://distribution.github.io/distribution/spec/auth/token and …/spec/manifest-v2-2.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests

from matrix.errors import Exit, HarnessError
from matrix.image import HUB

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

    from matrix.image import Reference

TIMEOUT_S = 20.0
LISTS = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"
ONE = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
ACCEPT = f"{LISTS}, {ONE}"
"""A list for several machines comes first: its digest is what a tag is, whichever machine asks."""
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
LARGEST = 8_000_000
"""Bytes of a manifest that is read whole, where a registry does not say its digest."""
OK, UNAUTHORIZED, FORBIDDEN, MISSING, NOT_ALLOWED, TOO_MANY = 200, 401, 403, 404, 405, 429


@dataclass(slots=True)
class Registry:
    """One session with registries."""

    session: requests.Session = field(default_factory=requests.Session)
    tokens: dict[tuple[str, str], str] = field(default_factory=dict)
    """Host and repository -> what it gave."""

    def __post_init__(self) -> None:
        self.session.auth = _as_it_is  # a .netrc would take the token's place

    def digest(self, image: Reference) -> str:
        """What an image's tag is today, such as `sha256:3fa1…`; without a tag, its digest, if the registry has it.

        Raises:
            HarnessError: REGISTRY_FAILED, with what happened and what to do.
        """
        answer = self._manifest("HEAD", image)
        if answer.status_code == NOT_ALLOWED:
            answer = self._manifest("GET", image)
        if answer.status_code != OK:
            raise _refusal(image, answer)
        said = answer.headers.get("Docker-Content-Digest", "")
        if not said:
            whole = answer if answer.request.method == "GET" else self._manifest("GET", image)
            if whole.status_code != OK or len(whole.content) > LARGEST:
                raise _refusal(image, whole)
            if not _is_manifest(whole):
                raise _failed(
                    image,
                    f"{urlsplit(whole.url).netloc} answers with something else than a manifest",
                    "look whether a proxy or a login page is in between",
                )
            said = f"sha256:{hashlib.sha256(whole.content).hexdigest()}"
        if not DIGEST.fullmatch(said):
            raise _failed(
                image,
                f"answers with the digest {said[:80]!r}, which is no sha256",
                "look at the image's page, and write the digest by hand",
            )
        return said

    def _manifest(self, method: str, image: Reference) -> Response:
        """The registry's answer, with a token where it asks for one."""
        host = image.registry or HUB
        address = f"{_scheme(host)}://{host}/v2/{image.full_path}/manifests/{image.tag or image.digest}"
        answer = self._send(method, address, image)
        if answer.status_code == UNAUTHORIZED:
            self.tokens.pop((host, image.full_path), None)
            challenge = answer.headers.get("WWW-Authenticate", "")
            if token := self._token(challenge, image, host):
                self.tokens[host, image.full_path] = token
                answer = self._send(method, address, image)
        return answer

    def _send(self, method: str, address: str, image: Reference, **query: str) -> Response:
        headers = {"Accept": ACCEPT}
        token = self.tokens.get((image.registry or HUB, image.full_path))
        if token and not query:
            headers["Authorization"] = f"Bearer {token}"
        try:
            return self.session.request(
                method,
                address,
                params=query or None,
                headers=headers,
                timeout=TIMEOUT_S,
                allow_redirects=True,
            )
        except requests.exceptions.SSLError as error:
            raise _failed(
                image,
                f"{urlsplit(address).netloc} shows a certificate that is not accepted",
                "name its authority's file in REQUESTS_CA_BUNDLE",
            ) from error
        except requests.RequestException as error:
            raise _failed(
                image,
                f"{urlsplit(address).netloc} does not answer ({type(error).__name__})",
                "look at the network, at HTTPS_PROXY and at the registry's name; or write the digest by hand",
            ) from error

    def _token(self, challenge: str, image: Reference, host: str) -> str:
        """What the registry's token service gives to anybody; empty where it wants a login."""
        kind, _, rest = challenge.partition(" ")
        asked = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        realm = asked.pop("realm", "")
        if kind.lower() != "bearer" or not realm:
            return ""
        if urlsplit(realm).scheme != _scheme(urlsplit(realm).netloc):
            raise _failed(
                image,
                f"{host} sends us to {realm[:100]} for a token, which is not https",
                "use another registry",
            )
        asked = {name: text for name, text in asked.items() if name in {"service", "scope"}}
        asked.setdefault("scope", f"repository:{image.full_path}:pull")
        answer = self._send("GET", realm, image, **asked)
        if answer.status_code != OK:
            raise _refusal(image, answer)
        try:
            given = answer.json()
            return str(given.get("token") or given.get("access_token") or "")
        except (ValueError, AttributeError) as error:
            raise _failed(
                image,
                f"{urlsplit(realm).netloc} answers with something else than a token",
                "look whether a proxy or a login page is in between",
            ) from error


def without_digest(image: Reference) -> Reference:
    """The tag alone, to ask what it is today."""
    return replace(image, digest="") if image.tag else image


def _as_it_is(request: PreparedRequest) -> PreparedRequest:
    return request


def _is_manifest(answer: Response) -> bool:
    """Every kind of manifest has this number; a page for people, or half of a manifest, has a hash, too."""
    try:
        return "schemaVersion" in answer.json()
    except (ValueError, TypeError):
        return False


def _scheme(host: str) -> str:
    """Registries speak https, but for one on this machine."""
    return "http" if re.fullmatch(r"(localhost|127\.0\.0\.1)(:\d+)?", host) else "https"


def _refusal(image: Reference, answer: Response) -> HarnessError:
    """What a status means for a person."""
    status, host = answer.status_code, urlsplit(answer.url).netloc
    if status in {UNAUTHORIZED, FORBIDDEN}:
        return _failed(
            image,
            f"{host} wants a login ({status}); it says so too of an image that is not there",
            "look at the name; `pin` asks as anybody, so write the digest of a private image by hand",
        )
    if status == MISSING:
        return _failed(image, f"{host} has no such image or tag ({status})", "look at the name and the tag")
    if status == TOO_MANY:
        wait = answer.headers.get("Retry-After", "")
        when = f"in {wait} s" if wait.isdigit() else "later"
        return _failed(image, f"{host} takes no more requests from here now ({status})", f"try again {when}")
    return _failed(image, f"{host} answers {status}", "try again later, or write the digest by hand")


def _failed(image: Reference, what: str, advice: str) -> HarnessError:
    return HarnessError(Exit.REGISTRY_FAILED, f"{image}: {what}; {advice}")
