"""Variables of a server that model libraries read: one list for all who ask. Pure."""

from __future__ import annotations

import re

_BEGINNINGS = ("HF_", "HUGGINGFACE_", "TRANSFORMERS_", "MODELSCOPE_", "VLLM_USE_MODELSCOPE", "VLLM_MODEL_")
_PLACES = re.compile(
    r"HF_(ENDPOINT|HOME|\w*CACHE\w*)|HUGGINGFACE_\w+|TRANSFORMERS_CACHE|MODELSCOPE_\w+|VLLM_USE_MODELSCOPE|VLLM_MODEL_REDIRECT_PATH"
)


def is_of_models(name: str) -> bool:
    """Whether a variable says how or where the files of a model are found: the load client needs it as its server does."""
    return name.startswith(_BEGINNINGS)


def is_a_place(name: str) -> bool:
    """Whether it says where they come from, so that the same name of a model can mean other files."""
    return _PLACES.fullmatch(name) is not None
