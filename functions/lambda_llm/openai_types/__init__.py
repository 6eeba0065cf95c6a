"""OpenAI's wire format as pydantic models: what goes over HTTP, and nothing of how it is answered."""
