"""Which variables are of models, and that all who ask have the same list."""

from __future__ import annotations

import pytest

from matrix.vllm.model_variables import is_a_place, is_of_models
from utils.node.vllm.client import client_environment

PLACES = [
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_MODULES_CACHE",
    "HF_XET_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "HUGGINGFACE_CO_STAGING",
    "TRANSFORMERS_CACHE",
    "MODELSCOPE_CACHE",
    "MODELSCOPE_DOMAIN",
    "VLLM_USE_MODELSCOPE",
    "VLLM_MODEL_REDIRECT_PATH",
]
OTHERS = ["HF_HUB_OFFLINE", "HF_HUB_DOWNLOAD_TIMEOUT", "TRANSFORMERS_OFFLINE"]
"""Of models, and no place."""


@pytest.mark.parametrize("name", PLACES)
def test_a_place_of_models_is_of_models(name: str) -> None:
    """So what a sweep asks a person to approve is also what moves a load client into its arm's container."""
    assert is_a_place(name)
    assert is_of_models(name)


@pytest.mark.parametrize("name", OTHERS)
def test_what_only_says_how_is_no_place(name: str) -> None:
    """A sweep does not ask for it."""
    assert is_of_models(name)
    assert not is_a_place(name)


@pytest.mark.parametrize("name", ["VLLM_LOGGING_LEVEL", "OMP_NUM_THREADS", "MY_HF_HOME", "hf_home", "PATH"])
def test_others_are_not_of_models(name: str) -> None:
    """Whatever is in the middle of a name."""
    assert not is_of_models(name)
    assert not is_a_place(name)


@pytest.mark.parametrize("name", [*PLACES, *OTHERS])
def test_the_load_client_finds_models_where_its_server_does(name: str) -> None:
    """Its tokenizer is the server's."""
    assert client_environment({name: "x", "OTHER": "1"}, {name: "x", "OTHER": "1"})[name] == "x"
    assert "OTHER" not in client_environment({"OTHER": "1"}, {"OTHER": "1"})
