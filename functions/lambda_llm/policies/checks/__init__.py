"""The folder for checkov's --external-checks-dir; checkov runs each of its files by path."""
