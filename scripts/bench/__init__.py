"""Benchmarks: always a ratio against a baseline in the same run."""
