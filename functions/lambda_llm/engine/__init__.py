"""Inference with llama.cpp: models, contexts, KV cache, sampling, chat templates. No HTTP in here."""
