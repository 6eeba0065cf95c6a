"""GGUF headers, and how much memory llama.cpp needs to run the model."""
