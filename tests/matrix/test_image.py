"""References of images: their parts, and the form that every enroot reads."""

from __future__ import annotations

import pytest

from matrix.image import parse

HEX = "a1" * 32


@pytest.mark.parametrize(
    ("text", "enroot"),
    [
        ("vllm/vllm-openai-rocm:v0.32.0", "docker://vllm/vllm-openai-rocm:v0.32.0"),
        (f"vllm/vllm-openai-rocm:v0.32.0@sha256:{HEX}", f"docker://registry-1.docker.io#vllm/vllm-openai-rocm:sha256:{HEX}"),
        (f"vllm/vllm-openai-rocm@sha256:{HEX}", f"docker://registry-1.docker.io#vllm/vllm-openai-rocm:sha256:{HEX}"),
        (f"ghcr.io/a/b@sha256:{HEX}", f"docker://ghcr.io#a/b:sha256:{HEX}"),
        ("ubuntu:24.04", "docker://ubuntu:24.04"),
        (f"ubuntu@sha256:{HEX}", f"docker://registry-1.docker.io#library/ubuntu:sha256:{HEX}"),
        ("localhost:5000/x/y:1", "docker://localhost:5000#x/y:1"),
        ("nvcr.io/nvidia/vllm:25.11-py3", "docker://nvcr.io#nvidia/vllm:25.11-py3"),
        ("rocm/vllm-dev:nightly_main_20261101", "docker://rocm/vllm-dev:nightly_main_20261101"),
    ],
)  # fmt: skip
def test_a_good_one(text: str, enroot: str) -> None:
    """Read, written again as it was, and as enroot 3.4 to 4.x take it."""
    reference = parse(text)
    assert str(reference) == text
    assert reference.enroot == enroot


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "a//b:1",
        "a b:1",
        "a/:1",
        "-a/b:1",
        "a:b:c",
        "a@sha256:",
        f"a@sha512:{HEX}",
        "a/b:" + "x" * 129,
    ],
)
def test_a_bad_one(text: str) -> None:
    """Never taken."""
    with pytest.raises(ValueError, match=r"no image|no digest|no tag|names no version|is no"):
        parse(text)
