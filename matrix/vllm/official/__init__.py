"""vLLM's official recipes (github.com/vllm-project/recipes): read, resolved for one GPU, and compared with a recipe of this tree."""
