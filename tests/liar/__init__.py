"""A server that LIES, behind `vllm serve`, for the real load client: one lie a point, and what must catch it."""
