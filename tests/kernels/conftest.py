"""Kernels are interpreted on the CPU here; what needs a GPU is measured by their benchmark, and its results are committed."""

from __future__ import annotations

import os

import pytest

os.environ["TRITON_INTERPRET"] = "1"  # before anything imports Triton


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Triton 3.6's interpreter takes a scalar out of an array in a way that NumPy will end."""
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("ignore:Conversion of an array:DeprecationWarning"))
        for kind in (
            "DeprecationWarning",
            "FutureWarning",
            "UserWarning",
        ):  # of vLLM's and torch's own imports
            item.add_marker(pytest.mark.filterwarnings(f"ignore::{kind}"))
