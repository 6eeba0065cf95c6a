"""AWS as a client: signatures, S3 objects, calls of inference functions."""
