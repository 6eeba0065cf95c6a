"""Prompt in, tokens out: llama.cpp on a model in memory. It knows nothing of HTTP."""
