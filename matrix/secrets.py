"""What looks like a secret: kept out of recipes, redacted wherever it would be shown."""

from __future__ import annotations

import itertools
import re

SECRET = re.compile(
    r"\b(gh[pousr]_[A-Za-z0-9_.-]{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|xox[abprs]-[\w-]{10,}"
    r"|nvapi-[\w-]{20,}|(?:AKIA|ASIA)[0-9A-Z]{16}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*)"
)
"""Tokens of GitHub, GitLab, Hugging Face, OpenAI, Slack, NVIDIA, AWS, and JSON web tokens, by their own marks."""
_WORDS = {"SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "CREDENTIALS", "APIKEY"}
_KEYS = {"API", "ACCESS", "SECRET", "PRIVATE", "AUTH"}
ADVICE = (
    "recipes, plans and records are for anybody to read; put it into the environment of the nodes, "
    "and name it in the cluster's env_from"
)


def redacted(text: str) -> str:
    """Text without what looks like a token."""
    return SECRET.sub("***", text)


def names_a_secret(name: str) -> bool:
    """Whether a variable of this name holds one: HF_TOKEN, AWS_SECRET_ACCESS_KEY; not MAX_NUM_BATCHED_TOKENS."""
    words = re.split(r"[_.-]+", name.upper())
    pairs = itertools.pairwise(words)
    return (
        words[-1] == "TOKEN"
        or not _WORDS.isdisjoint(words)
        or any(one in _KEYS and two == "KEY" for one, two in pairs)
    )


def has_a_secret(value: object) -> bool:
    """Whether some text in a value looks like one."""
    if isinstance(value, dict):
        return any(has_a_secret(one) for pair in value.items() for one in pair)
    if isinstance(value, list):
        return any(map(has_a_secret, value))
    return isinstance(value, str) and SECRET.search(value) is not None
