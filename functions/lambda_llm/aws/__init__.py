"""AWS from the caller's side: signatures, S3 objects, calls of inference functions."""
