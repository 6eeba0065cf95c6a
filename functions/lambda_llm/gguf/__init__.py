"""What a GGUF file says of itself, and how much memory llama.cpp needs to run it."""
