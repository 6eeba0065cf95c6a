"""Isolated execution of code that a model wrote: one interface, one file for each place where it runs."""
