"""An OpenAI-compatible ASGI application over one model; it knows nothing of Lambda."""
