"""From S3, or a file, to verified bytes in memory. It knows nothing of llama.cpp."""
