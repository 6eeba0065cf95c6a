"""The function that deletes published versions nothing uses."""
