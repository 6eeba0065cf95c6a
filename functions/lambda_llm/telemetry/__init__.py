"""Structured logs of every function."""
