"""ASGI parts that every function behind the web adapter needs, whatever it answers."""
