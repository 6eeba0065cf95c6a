"""A local AWS on loopback, and deployments on it."""
