"""An OpenAI-compatible ASGI application over one engine; it knows nothing of Lambda."""
