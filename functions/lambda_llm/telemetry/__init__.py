"""Structured logs for every function."""
