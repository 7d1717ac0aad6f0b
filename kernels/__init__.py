"""Patched kernels: each a package of its own that vLLM loads as a plugin. Nothing here imports from outside."""
