"""A local AWS on loopback, and what is deployed on it."""
