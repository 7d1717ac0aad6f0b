"""What the help's examples name: recipes that this repository has, each once, so that a renamed one is renamed here."""

RECIPE = "qwen3moe-tiny-cpu-vllm"
"""Runs on any machine."""
POINT = f"{RECIPE}/128x64-tp1-c4"
LARGE = "minimaxm3-fp8-mi300x-vllm"
"""What the harness is for."""
