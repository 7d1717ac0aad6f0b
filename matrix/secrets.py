"""What looks like a secret: kept out of recipes and cluster files, redacted wherever it would be shown."""

from __future__ import annotations

import re

_MARKED = (
    *(
        r"gh[pousr]_[A-Za-z0-9_.-]{20,}",
        r"github_pat_\w{20,}",
        r"gl(?:pat|ptt|rt|dt|oas|cbt|ft|agent)-[\w-]{20,}",
    ),
    *(r"hf_[A-Za-z0-9]{20,}", r"api_org_[A-Za-z0-9]{20,}", r"sk-[A-Za-z0-9_-]{20,}", r"gsk_[A-Za-z0-9]{40,}"),
    *(r"xai-[A-Za-z0-9]{40,}", r"r8_[A-Za-z0-9]{37,}", r"nvapi-[\w-]{20,}", r"xox[abprs]-[\w-]{10,}"),
    *(r"(?:AKIA|ASIA)[0-9A-Z]{16}", r"AIza[\w-]{35}", r"AccountKey=[A-Za-z0-9+/]{40,}", r"dapi[0-9a-f]{32}"),
    *(r"npm_[A-Za-z0-9]{36}", r"pypi-AgE[\w-]{40,}", r"dckr_pat_[\w-]{20,}", r"dop_v1_[0-9a-f]{64}"),
    *(r"hvs\.[\w-]{20,}", r"SG\.[\w-]{20,}\.[\w-]{20,}", r"[sr]k_live_[A-Za-z0-9]{16,}"),
    r"hooks\.slack\.com/services/T\w+/B\w+/\w+",
    *(r"[Bb]earer [A-Za-z0-9._~+/-]{20,}", r"[Aa]uthorization: ?\S{1,100} \S{8,}"),
)
_JWT = r"(?<![\w-])(?=[\w-]+\.[\w-]{10,}\.)(?:[\w-]*[-_])?eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*"
"""It is looked for once in a word, however many could begin in it: a guest's line of a megabyte would take half an hour else."""
_BARE = (
    r"(?<![A-Za-z0-9+/])(?=[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/=]))"
    r"(?=[A-Za-z+/]*[0-9])(?=(?:[a-z0-9+/]*[A-Z]){6})(?=(?:[A-Z0-9+/]*[a-z]){6})"
    r"(?=(?:[A-Za-z0-9+/]*?[a-z][A-Z0-9]){4})(?!(?:[A-Za-z0-9+]*/){4})(?!(?:[A-Za-z0-9+/]*?[a-z]{5}){2})[A-Za-z0-9+/]{40}"
)
"""A secret key of AWS has no mark: 40 letters of base64 that are mixed as chance mixes them, with figures, letters of both sizes in turns, and
few slashes and long words. 97.3 % of 100,000 random ones are like that; of 350 MB of Python and logs one text, an address of a document, is."""
SECRET = re.compile(
    rf"\b(?:{'|'.join(_MARKED)})|{_JWT}|{_BARE}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\b(?:https?|socks5h?|ftp|redis|amqp|mysql|postgres(?:ql)?|mongodb)://[^\s/:@$]+:[^\s/@$]+@"
)
"""Tokens of GitHub, GitLab, Hugging Face, OpenAI and others, clouds, package indexes, chats, JSON web tokens, by their own marks;
private keys, and a user's password in an address."""
NAMED = (
    r"^TOKEN_[A-Z0-9]+$|(^|_)([A-Z0-9]*TOKEN$|TOKEN_(READ|WRITE|RO|RW|VALUE|ADMIN)$|SECRETS?(_|$)|PASSW(OR)?D(_|$)|PASSPHRASE(_|$)"
    r"|CREDENTIALS?(_|$)|(API|ACCESS|PRIVATE|AUTH|SECRET)_?KEY(_|$)|KEY$|(DB|USER|PROXY|ADMIN|MYSQL|PG|SMTP|REDIS|HTTP)_?PASS$"
    r"|AUTHORIZATION$|COOKIE$|BEARER$|JWT$)|[A-Z0-9]_(PAT|PWD)$"
)
"""Names of variables that hold one, in capital letters: HF_TOKEN, AWS_SECRET_ACCESS_KEY, SSH_KEY; not MAX_NUM_BATCHED_TOKENS."""
HARMLESS = r"(^|_)(PUBLIC_?KEY|PER_?TOKEN)$"
"""Names that end like one of them."""
ADVICE = (
    "recipes, plans and records are for anybody to read; put it into the environment of the nodes, "
    "and name it in the cluster's env_from"
)


def redacted(text: str) -> str:
    """Text without what looks like a token."""
    return SECRET.sub("***", text)


def names_a_secret(name: str) -> bool:
    """Whether a variable of this name holds one."""
    name = re.sub(r"[.-]", "_", name.upper())
    return re.search(NAMED, name) is not None and not re.search(HARMLESS, name)


def has_a_secret(value: object) -> bool:
    """Whether some text in a value looks like one."""
    if isinstance(value, dict):
        return any(has_a_secret(one) for pair in value.items() for one in pair)
    if isinstance(value, list):
        return any(map(has_a_secret, value))
    return isinstance(value, str) and SECRET.search(value) is not None
