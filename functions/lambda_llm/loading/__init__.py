"""Loads a model from S3, or a file, into memory and verifies it. Independent of llama.cpp."""
