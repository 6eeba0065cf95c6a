"""Inference with llama.cpp: models, contexts, KV cache, sampling, chat templates. No HTTP in here."""

import os

# Read when ggml's library is loaded: a failed assertion would start gdb, if there is one, to print a backtrace.
os.environ.setdefault("GGML_NO_BACKTRACE", "1")
