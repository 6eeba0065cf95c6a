"""Anthropic's wire format as pydantic models, without behaviour."""
