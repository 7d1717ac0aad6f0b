"""Questions of the parity probe to a running vLLM: greedy answers with log-probabilities, and given texts scored.

All prompts of a batch go in one request of /v1/completions, so that the server decodes them together: as many at once as were sent.
Tokens are asked and answered as numbers (`return_tokens_as_token_ids`), so that no tokenizer is between.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.node.parity import Answer, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from utils.node.vllm.server import Server

LIKELIEST = 5
PROMPT_TOKENS = 24
ANSWER_TOKENS = 32
LIMIT_S = 600.0
VOCABULARY = 1000
"""Ids below which prompts are drawn where nobody knows the model's vocabulary."""
_ODD = (ValueError, KeyError, TypeError, AttributeError, OverflowError)
"""What a wrong shape of an answer comes to."""
FIRST_ID = 5
"""Below it tokenizers keep their special tokens."""


def prompts(model: str, count: int, seed: int) -> list[list[int]]:
    """Random ids, the same for the same seed: a model's answer to them is as fixed as to any text."""
    most = min(vocabulary(model), 30_000)
    rng = np.random.default_rng(seed)
    return [[int(one) for one in row] for row in rng.integers(FIRST_ID, most, (count, PROMPT_TOKENS))]


def vocabulary(model: str) -> int:
    """Of a model that is a folder, by its config.json."""
    try:
        config = json.loads((Path(model) / "config.json").read_bytes())
        return int(config.get("vocab_size") or config["text_config"]["vocab_size"])
    except (OSError, ValueError, KeyError, TypeError):
        return VOCABULARY


def answers(
    server: Server, asked: Sequence[Sequence[int]], batch: int, tokens: int = ANSWER_TOKENS
) -> list[Answer]:
    """Greedy answers, so many prompts decoded at once.

    Raises:
        RunFailed: SERVER_UNHEALTHY or SERVER_DIED where there is no answer.
        ValueError: where an answer is not in the known shape.
    """
    body = {
        "max_tokens": tokens,
        "logprobs": LIKELIEST,
        "return_tokens_as_token_ids": True,
        "ignore_eos": True,
    }
    found: list[Answer] = []
    for first in range(0, len(asked), batch):
        found += [_answer(choice) for choice in _ask(server, asked[first : first + batch], body)]
    if short := next((answer for answer in found if len(answer) != tokens), None):
        raise ValueError(f"an answer has {len(short)} tokens with log-probabilities, {tokens} were asked for")
    return found


def scores(server: Server, texts: Sequence[Sequence[int]], batch: int) -> list[list[float]]:
    """Log-probabilities of the tokens of given texts, but for each one's first; a prefill a text.

    Raises:
        RunFailed: SERVER_UNHEALTHY or SERVER_DIED where there is no answer.
        ValueError: where an answer is not in the known shape.
    """
    found = []
    for first in range(0, len(texts), batch):
        part = texts[first : first + batch]
        for choice, text in zip(
            _ask(server, part, {"max_tokens": 1, "prompt_logprobs": 0}), part, strict=True
        ):
            found.append(_scores(choice, text))
    return found


def _scores(choice: dict[str, Any], text: Sequence[int]) -> list[float]:
    rows = choice.get("prompt_logprobs")
    if not isinstance(rows, list) or len(rows) != len(text):
        said = f"{len(rows)} prompt_logprobs" if isinstance(rows, list) else "no prompt_logprobs"
        raise ValueError(f"an answer has {said} for a text of {len(text)} tokens")
    try:
        return [_number(row[str(token)]["logprob"]) for row, token in zip(rows[1:], text[1:], strict=True)]
    except _ODD as error:
        raise ValueError(f"prompt_logprobs are not in the known shape: {error!r}"[:200]) from error


def _ask(server: Server, asked: Sequence[Sequence[int]], body: dict[str, Any]) -> list[dict[str, Any]]:
    common = {"model": server.model, "prompt": [list(one) for one in asked], "temperature": 0}
    try:
        choices = server.ask("POST", "/v1/completions", common | body, LIMIT_S).json()["choices"]
        found = sorted(choices, key=lambda choice: int(choice["index"]))
    except KeyError as error:
        raise ValueError(f"an answer of /v1/completions lacks {error}") from error
    except _ODD as error:
        raise ValueError(
            f"an answer of /v1/completions is not in the known shape: {error!r}"[:200]
        ) from error
    if len(found) != len(asked):
        raise ValueError(f"{len(found)} answers to {len(asked)} prompts")
    if [int(choice["index"]) for choice in found] != list(range(len(asked))):
        raise ValueError(
            "answers of /v1/completions do not say which prompt is theirs: an index comes twice or is left out"
        )
    return found


def _answer(choice: dict[str, Any]) -> Answer:
    said = choice.get("logprobs")
    if not said:
        raise ValueError("an answer of /v1/completions has no logprobs, which were asked for")
    try:
        return tuple(
            Step(_id(token), _number(logprob), {_id(name): _number(value) for name, value in top.items()})
            for token, logprob, top in zip(
                said["tokens"], said["token_logprobs"], said["top_logprobs"], strict=True
            )
        )
    except _ODD as error:
        raise ValueError(f"logprobs are not in the known shape: {error!r}"[:200]) from error


def _id(token: str) -> int:
    """Of `token_id:17`."""
    return int(token.removeprefix("token_id:"))


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
