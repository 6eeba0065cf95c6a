"""An OpenAI-compatible ASGI application over one engine, independent of Lambda."""
