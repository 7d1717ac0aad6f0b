"""What people write for an image or a model where something else is meant: sentences that say what to write."""

from __future__ import annotations

import re

from matrix.image import ARCHIVE, parse

_TOOLS = r"docker|oci|dockerd|podman|docker-daemon|containers-storage|registry"
_FILES = (".sqsh", ".squashfs", ".sif", ".simg", ".img", ".tar", ".tar.gz", ".tgz")
_HUB_ITSELF = {"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"}
_USER = r"^((?:docker://)?)[^/@#:]+@(?=[^/#]+[/#])"
"""Who asks, as enroot has it in front of a registry: NVIDIA's pages say docker://$oauthtoken@nvcr.io#… and the like."""
_DIGEST = r"(?i:sha256)[:-]([0-9A-Fa-f]{64})"
ODD_IMAGES = (
    rf"^({'|'.join(re.escape(one) for one in sorted(_HUB_ITSELF))}|library|hub\.docker\.com)/|^[^/]*[A-Z][^/]*/"
    r"|^([Ss][Hh][Aa]256:)?[0-9a-f]{64}$|\.(sqsh|squashfs|sif|simg|img|tar|tar\.gz|tgz)$"
)
ODD_MODELS = (
    r"/$|^[A-Za-z]+://(?!.*\.)|^https?:|^hf:|^[^/]+/[^/]+[@:]|^(?!/|recipes/models/|[a-z0-9]+://)[^/]+/[^/]+/"
)
"""For an editor: what `of_image` and `of_model` refuse, as far as one pattern says it."""


def of_image(text: str) -> str | None:
    """What is wrong with a reference as it is spelt; None where nothing is known to be."""
    first = _of_user(text) or _of_words(text) or _of_address(text)
    return first or _of_file(text) or _of_digest(text) or _of_registry(text)


def _of_user(text: str) -> str | None:
    if (other := re.sub(_USER, r"\1", text)) == text:
        return None
    image = _bare(other.removeprefix("docker://"))
    return f"write {image!r}: who asks a registry is no part of an image's name, and a node's enroot has credentials of its own"


def _of_words(text: str) -> str | None:
    if command := re.match(r"(?:docker|podman|nerdctl) (?:pull|run)\s+", text):
        return f"write {text[command.end() :].strip()!r}, without {command[0].strip()}"
    if (whole := "".join(text.split())) != text:
        of_file = _is_file(text.strip()) and len(text.split()) > 1
        hint = "give the file a name without one" if of_file else f"write {whole!r}"
        return f"{text!r} has a blank or a line break in it; {hint}"
    if strange := re.search(r"\$\{?\w*\}?|\{\{.*\}\}|\$\(.*\)", text):
        return f"{strange[0]} in {text!r} is not expanded; write the tag itself"
    if package := re.fullmatch(r"(vllm[a-z-]*)\s*(>=|<=|~=|!=|=|>|<)\s*v?(\d[\w.]*)(,.*)?", text):
        return f"a package has one version: write {package[1]}=={package[3]}"
    return _of_package(text)


def _of_package(text: str) -> str | None:
    """One version has one spelling, and with it one key."""
    name, equal, version = text.partition("==")
    if not equal or re.match(r"\d+\.\d+\.\d", version):
        return None
    if short := re.fullmatch(r"[v=]?(\d+\.\d+)((?:\.\d+)?)", version):
        return f"write {name}=={short[1]}{short[2] or '.0'}"
    return f"{text!r}: {version!r} is no version of a package; write {name}==0.32.0 or the like"


def _of_address(text: str) -> str | None:
    """An address, or what another tool puts in front."""
    if tool := re.match(rf"(?i:{_TOOLS})(://|:(?=[^:]*[/:]))", text):
        return f"write {_bare(text[tool.end() :])!r}, without {tool[0].lower()}"
    plain = re.sub(r"^(?i:https?)://", "", text).rstrip("/")
    if hub := re.match(
        r"hub\.docker\.com/(?:r/|_/|layers/|repository/docker/)?([a-z0-9._/-]*?)(?:/tags|/general)?(?::(.+))?$",
        plain,
    ):
        return f"{text!r} is a page about an image; write {hub[1]}:{hub[2] or 'TAG'}" if hub[1] else None
    if plain != text and (found := _takes(plain)):
        return f"{text!r} is an address; write {found!r}"
    return None


def _of_file(text: str) -> str | None:
    if text.startswith(ARCHIVE):
        if re.fullmatch(r"\w[\w.+-]*", text.removeprefix(ARCHIVE)):
            return None
        return f"{text!r}: what comes after {ARCHIVE} is the name of a file below the cluster's paths.archives, without folders"
    if _is_file(text):
        name = text.rstrip("/").rsplit("/", 1)[-1]
        return f"{text!r} is a file; write {ARCHIVE}{name}, or {ARCHIVE}NAME of another file below the cluster's paths.archives"
    return None


def _is_file(text: str) -> bool:
    return text.startswith(("/", "./", "../", "~", "file:", ARCHIVE)) or text.lower().endswith(_FILES)


def _of_digest(text: str) -> str | None:
    if re.fullmatch(rf"{_DIGEST}|[0-9A-Fa-f]{{64}}", text):
        return "a digest alone names no image; write NAME@sha256:… with the name in front"
    if (late := re.fullmatch(rf"(.+)[:@]{_DIGEST}", text)) and text != f"{late[1]}@sha256:{late[2].lower()}":
        return f"write {late[1]}@sha256:{late[2].lower()}"
    if tag := re.fullmatch(r"([^@]+)@(v?\d[\w.-]*|latest|nightly[\w.-]*)", text):
        return f"write {tag[1]}:{tag[2]}: a tag comes after a colon, and only a digest after an @"
    return None


def _of_registry(text: str) -> str | None:
    """One image has one spelling, and with it one key."""
    first, slash, rest = text.partition("/")
    if not slash:
        return None
    if first.lower() in _HUB_ITSELF:
        return f"write {rest.removeprefix('library/')!r}, without {first}: it is where an image without a registry comes from"
    if first == "library":
        return f"write {rest!r}, without library/: one image has one spelling"
    if first != first.lower() and ("." in first or ":" in first):
        return f"write {first.lower()}/{rest}: a registry's host has small letters"
    return None


def _bare(text: str) -> str:
    """What is behind a tool's name, without a user, enroot's mark, and the registry that needs no name."""
    plain = re.sub(_USER, r"\1", text.lstrip("/")).replace("#", "/", 1)
    first, _, rest = plain.partition("/")
    return rest.removeprefix("library/") if first.lower() in _HUB_ITSELF else plain.removeprefix("library/")


def _takes(text: str) -> str:
    try:
        return str(parse(text))
    except ValueError:
        return ""


def of_model(text: str) -> str | None:
    """What is wrong with the name of a model as it is spelt."""
    if command := re.match(r"(?:docker|podman|nerdctl) (?:pull|run)\s+", text):
        return f"write {text[command.end() :].strip()!r}, without {command[0].strip()}"
    if (whole := "".join(text.split())) != text or (whole := text.rstrip("/")) != text:
        return f"{text!r} has a blank in it, or a slash at its end; write {whole!r}"
    return _of_a_page(text) or _of_a_path(text) or _of_a_revision(text)


def _of_a_page(text: str) -> str | None:
    page = r"(?:(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/|(?:hf|huggingface)://)([^/]+/[^/?#]+)"
    if name := re.match(page, text):
        return f"write {name[1]!r}, the model's name on Hugging Face"
    if re.match(r"https?://", text):
        return f"{text!r} is an address; write ORG/NAME, or a folder of the node from / on"
    return None


def _of_a_path(text: str) -> str | None:
    if text.startswith(("~", "./", "../", "$")):
        return f"{text!r} is no whole path; write the folder of the node from / on, or a model of the tree as recipes/models/NAME"
    if text.count("/") > 1 and not text.startswith(("/", "recipes/models/")) and "://" not in text:
        return f"{text!r} is no model's name: ORG/NAME of Hugging Face, a folder of the node from / on, or recipes/models/NAME"
    return None


def _of_a_revision(text: str) -> str | None:
    name = re.fullmatch(r"([^/@:]+/[^/@:]+)[@:]([\w.-]+)", text)
    return f"write model: {name[1]} and revision: {name[2]}" if name else None
