"""Open-weight language models on AWS Lambda, without the cold start."""

__version__ = "0.1.0"
