"""Prompts to tokens, with llama.cpp. It knows nothing of HTTP."""
