"""Models wherever they run: one contract, and one adapter for each kind of server."""
