"""What looks like a secret, by a variable's name or by a token's own marks, and what only sounds like one."""

from __future__ import annotations

import re
import time

import pytest

from matrix.secrets import has_a_secret, names_a_secret, redacted
from matrix.vllm.editor_flags import definitions
from matrix.vllm.vocabulary import Vocabulary, versions

NAMES = [
    "HF_TOKEN",
    "hf_token",
    "GH_TOKEN",
    "HFTOKEN",
    "TOKEN",
    "TOKEN_HF",
    "HF_TOKEN_READ",
    "HUGGINGFACEHUB_API_TOKEN",
    "AWS_SESSION_TOKEN",
    "API_KEY",
    "APIKEY",
    "ACCESSKEY",
    "VLLM_API_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "NGC_KEY",
    "SSH_KEY",
    "ENCRYPTION_KEY",
    "PRIVATE_KEY",
    "DB_PASS",
    "DB_PASSWORD",
    "MYSQL_PWD",
    "PASSPHRASE",
    "GITHUB_PAT",
    "AUTHORIZATION",
    "HTTP_COOKIE",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "MY_SECRET",
    "SECRETS",
    "SLURM_JWT",
]
OTHERS = [
    "MAX_NUM_BATCHED_TOKENS",
    "TOKENIZERS_PARALLELISM",
    "HF_TOKEN_PATH",
    "PUBLIC_KEY",
    "SSH_PUBLIC_KEY",
    "PWD",
    "OLDPWD",
    "PATH",
    "TRITON_FUSE_PASS",
    "QUANT_PER_TOKEN",
    "FP8_PERTOKEN",
    "KEYBOARD",
    "NCCL_DEBUG",
    "SECRETARY",
]
SHAPES = {
    "Hugging Face": "hf_" + "a1" * 17,
    "GitHub": "gho_" + "a" * 36,
    "GitHub, fine-grained": "github_pat_" + "A1" * 30,
    "GitLab": "glpat-" + "a" * 20,
    "OpenAI": "sk-proj-" + "a" * 40,
    "Anthropic": "sk-ant-api03-" + "a" * 40,
    "AWS": "AKIA" + "A1B2" * 4,
    "Google": "AIza" + "Sy" + "a" * 33,
    "a chat's hook": "https://" + "hooks.slack.com/services/T00000000/B00000000/" + "X" * 24,
    "npm": "npm_" + "a" * 36,
    "PyPI": "pypi-" + "AgEIcHlwaS5vcmc" + "a" * 50,
    "Docker": "dckr_pat_" + "a" * 27,
    "a private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "OpenSSH's private key": "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
    "an address with a password": "http://user:s3cret@proxy:3128",
    "a header": "Bearer " + "a1" * 16,
    "a whole header": "Authorization: Basic " + "dXNlcjpwYXNz",
    "Azure": "AccountKey=" + "a" * 86 + "==",
    "Replicate": "r8_" + "a" * 37,
    "Groq": "gsk_" + "a" * 48,
    "xAI": "xai-" + "a" * 60,
    "Stripe": "sk_live_" + "a" * 24,
    "Vault": "hvs." + "a" * 24,
    "SendGrid": "SG." + "a" * 22 + "." + "b" * 43,
    "Databricks": "dapi" + "a1" * 16,
    "DigitalOcean": "dop_v1_" + "a1" * 32,
    "AWS, the bare key": "wJalrXUtnFEMI" + "/K7MDENG/bPxRfiCY" + "EXAMPLEKEY",
    "AWS, as chance makes it": "q9Zt1LmX+0bVfRw8Jd" + "K3sPnG7hYcUe/5oAiTxB4c",
    "a JSON web token": "eyJ" + "hbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxIn0.abc",
}
PLAIN = [
    "docker://ubuntu:24.04@sha256:" + "a1" * 32,
    "http://proxy:3128",
    "https://$USER:$PASSWORD@proxy",
    "/raid/hf_hub_cache/models--org--model",
    "a1" * 20,
    "A1" * 20,
    "MiniMaxM3SparseForConditionalGeneration1",
    "raid/HubCache/MiniMaxAI/MiniMaxM3/MXFP8x",
    "BlockDiagonalCausalMaskWithOffset1Padded",
    "sha256/" + "aB3xY9kQ" * 5 + "=",
    "vllm/vllm-openai-rocm:v0.32.0",
    "the bearer of a token",
]


def test_names() -> None:
    """By words of a name, in either size of letters."""
    assert [name for name in NAMES if not names_a_secret(name)] == []
    assert [name for name in OTHERS if names_a_secret(name)] == []


def test_an_editor_underlines_the_same_names() -> None:
    """Its patterns have no word for letters of either size."""
    taken = definitions()["Env"]["propertyNames"]["not"]["anyOf"][1]

    def refused(name: str) -> bool:
        return bool(re.search(taken["pattern"], name)) and not re.search(taken["not"]["pattern"], name)

    assert [name for name in NAMES if not refused(name) and "-" not in name] == []
    assert [name for name in OTHERS if refused(name)] == []


def test_no_variable_of_vllm_is_taken_for_a_secret() -> None:
    """Except its key of the API."""
    every = {name for version in versions() for name in Vocabulary.of(version).file.env}
    assert {name for name in every if names_a_secret(name)} == {"VLLM_API_KEY"}


@pytest.mark.parametrize("case", SHAPES)
def test_a_token_is_found_and_never_shown(case: str) -> None:
    """Anywhere in a text, at any depth of a value."""
    token = SHAPES[case]
    assert has_a_secret({"x": [f"a {token}"]})
    shown = redacted(f"x={token} y")
    assert "***" in shown
    assert token not in shown


@pytest.mark.parametrize("text", PLAIN)
def test_other_texts_are_left_alone(text: str) -> None:
    """Paths, digests, references and addresses without a password."""
    assert redacted(text) == text


@pytest.mark.parametrize("part", ["eyJ-", "Authorization:", "authorization:;", "eyJ" + "a" * 10 + "-"])
def test_a_long_text_takes_no_longer_than_its_length(part: str) -> None:
    """Each beginning of a token looked through all that follows: half an hour for a line of a megabyte that a guest wrote."""
    begin = time.process_time()
    redacted(part * (400_000 // len(part)))
    assert time.process_time() - begin < 4


@pytest.mark.parametrize("before", ["", "x-", "-", "a=", "a.", "eyJ-", "_", "id_token_"])
def test_a_json_web_token_is_found_behind_anything(before: str) -> None:
    """Also where a hyphen joins it to a word."""
    web = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"
    assert "dozjgNryP4J3" not in redacted(f"{before}{web}")
    assert "dozjgNryP4J3" not in redacted(f"{before}eyJ{'a' * 5000}{web[3:]}")
