"""What tests of several folders share; importable as `support` through pytest's `pythonpath`."""
