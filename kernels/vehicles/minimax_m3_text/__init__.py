"""A test vehicle: lets vLLM serve layers of MiniMax-M3 without its vision part, at their true size, on a GPU.

A few layers with dummy weights fit where the whole model does not. What runs is vLLM's own model class; the vehicle adds the
text model's type to vLLM's table, and leaves one fused operator out where the GPUs cannot do it.
"""
