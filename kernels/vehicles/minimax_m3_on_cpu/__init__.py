"""A test vehicle: makes vLLM's own MiniMax-M3 serve on a CPU, where vLLM 0.32.0 has no code for some of its parts.

It exists so that the whole path of a kernel (plugin, gate, expert map, marker) runs for real where there is no GPU. What
it puts in is plain torch, slow, and of no use anywhere else; figures measured with it say nothing about a GPU.
"""
