"""Part of the fake vLLM."""
