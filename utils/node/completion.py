"""One streamed completion that the node reads itself: what a streamed answer holds, which the load client does not write down.

The client's TTFT is the time to its first answer, with or without a token in it, and its count of tokens is the server's own
word. A server tells the ids of an answer's tokens where it knows `return_token_ids`; another one says nothing of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TOKENS = 24
MERGED_MOST = 0.1
"""Share of tokens that may come with others on a server that has one request."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """What came of it."""

    tokens: Sequence[int | None] = ()
    """A streamed answer each: how many tokens it brought; None where the server gives no ids."""
    counted: int | None = None
    """As the server's `usage` says."""
    failed: str = ""
    """Why there is nothing, in words."""


def body(model: str, prompt: list[int]) -> dict[str, Any]:
    """What is asked for."""
    return {
        "model": model,
        "prompt": prompt,
        "max_tokens": TOKENS,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_token_ids": True,
    }


def parse(lines: Iterable[bytes]) -> Streamed:
    """Read server-sent events; comments and what is no event are passed over.

    Raises:
        ValueError: for an event that is not JSON.
    """
    tokens: list[int | None] = []
    counted = None
    for line in lines:
        text = line.removeprefix(b"data:").strip()
        if not line.startswith(b"data:") or text == b"[DONE]":
            continue
        event = json.loads(text)
        if usage := event.get("usage"):
            counted = int(usage["completion_tokens"])
        for choice in event.get("choices") or ():
            ids = choice.get("token_ids")
            tokens.append(None if ids is None and "token_ids" not in choice else len(ids or ()))
    return Streamed(tokens, counted)


def problem(stream: Streamed, *, speculative: bool) -> str:
    """What is wrong with a stream, in words; empty where it is as figures take it to be.

    Args:
        stream: of a server that had no other request.
        speculative: several tokens may come in one answer.
    """
    if stream.failed or not stream.tokens:
        return stream.failed or "nothing was streamed"
    known = [n for n in stream.tokens if n is not None]
    if not known:
        return ""  # this server gives no ids
    if not stream.tokens[0]:
        return "the first streamed answer brings no token, so that TTFT would be the time to nothing"
    total = sum(known)
    if stream.counted is not None and total != stream.counted:
        return f"{stream.counted} tokens are counted, and {total} were streamed"
    merged = sum(n for n in known if n > 1)
    if not speculative and merged > MERGED_MOST * total:
        return f"{merged} of {total} tokens came several in one streamed answer"
    return ""
