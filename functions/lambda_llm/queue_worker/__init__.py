"""The function that answers a queue's messages."""
