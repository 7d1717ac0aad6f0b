"""References of container images, read at plan time: what only a node would refuse is refused here, with the right spelling.

The grammar is that of https://github.com/distribution/reference (registry, path, tag, digest).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

ARCHIVE = "archive:"
"""`image: archive:NAME` is a squashfs file below the cluster's paths.archives, for images that no registry serves."""
HUB = "registry-1.docker.io"
"""Where an image without a registry comes from."""
LAST_PORT = 65535
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REGISTRY = (
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*(?::[0-9]+)?"
)
PATTERN = rf"^((?=[^/]*[.:]|localhost/){_REGISTRY}/)?{_PART}(/{_PART})*(:\w[\w.-]{{0,127}}(@sha256:[0-9a-f]{{64}})?|@sha256:[0-9a-f]{{64}})$"
"""What `parse` takes, for an editor."""


DOCKER = "docker.io"


@dataclass(frozen=True, slots=True)
class Reference:
    """An image of a registry."""

    registry: str
    """Empty for Docker Hub."""
    path: str
    tag: str = ""
    digest: str = ""
    """`sha256:` and 64 hex; it wins over the tag."""

    def __str__(self) -> str:
        registry = f"{self.registry}/" if self.registry else ""
        tag = f":{self.tag}" if self.tag else ""
        return f"{registry}{self.path}{tag}" + (f"@{self.digest}" if self.digest else "")

    @property
    def host(self) -> str:
        """The registry's name; Docker Hub has `docker.io`."""
        return self.registry or DOCKER

    @property
    def enroot(self) -> str:
        """As every enroot reads it: the digest where a tag would be, since 3.x takes what is before an `@` for a user."""
        if self.digest:
            return f"docker://{self.registry or HUB}#{self.full_path}:{self.digest}"
        registry = f"{self.registry}#" if self.registry else ""
        return f"docker://{registry}{self.path}:{self.tag}"

    @property
    def full_path(self) -> str:
        """As the registry itself knows it: Docker Hub's own images are in `library/`, which its registry does not add by itself."""
        return self.path if self.registry or "/" in self.path else f"library/{self.path}"


def parse(text: str) -> Reference:
    """A reference, with a tag or a digest.

    Raises:
        ValueError: with what to write instead.
    """
    if match := re.match(r"(docker|oci|dockerd|podman)://", text):
        raise ValueError(f"write {text.removeprefix(match[0]).replace('#', '/')!r}, without {match[0]}")
    if re.match(r"[a-z][a-z0-9+.-]*://", text):
        raise ValueError(
            f"{text!r} is an address; an image is REGISTRY/NAME:TAG, such as vllm/vllm-openai:v0.32.0"
        )
    if text.startswith("/") or text.endswith((".sqsh", ".squashfs")):
        raise ValueError(
            f"{text!r} is a file; write {ARCHIVE}NAME, where NAME is a file below the cluster's paths.archives"
        )
    if "#" in text.partition("/")[2]:
        raise ValueError(f"{text!r} has a # where none can be; an image is REGISTRY/NAME:TAG")
    if "#" in text:
        raise ValueError(
            f"write {text.replace('#', '/')!r}: `#` behind the registry is enroot's own spelling"
        )
    name, _, digest = text.partition("@")
    if "@" in text and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise ValueError(f"@{digest} is no digest; write @sha256: and its 64 hexadecimal digits")
    registry, path = _registry(name)
    if (port := registry.partition(":")[2]) and int(port) > LAST_PORT:
        raise ValueError(f"{registry!r} is no registry: ports go up to {LAST_PORT}")
    path, _, tag = path.partition(":")
    if path != path.lower():
        raise ValueError(
            f"an image's path has small letters only: {str(Reference(registry, path.lower(), tag, digest))!r}"
        )
    if not re.fullmatch(rf"{_PART}(/{_PART})*", path):
        raise ValueError(f"{text!r} is no image; it is REGISTRY/NAME:TAG, such as vllm/vllm-openai:v0.32.0")
    if ":" in name.removeprefix(f"{registry}/") and not re.fullmatch(r"\w[\w.-]{0,127}", tag, re.ASCII):
        raise ValueError(f"{tag!r} is no tag: letters, digits and ._- only, at most 128")
    if not tag and not digest:
        raise ValueError(
            f"{text!r} names no version; write {text}:TAG, which ./servematrix pin can turn into a digest"
        )
    return Reference(registry, path, tag, digest)


def _registry(name: str) -> tuple[str, str]:
    """The registry is what comes before the first slash, if it looks like a host."""
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost") and re.fullmatch(_REGISTRY, first):
        return first, rest
    return "", name
