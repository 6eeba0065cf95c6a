"""The folder that checkov is given; it runs each file in here by its path."""
