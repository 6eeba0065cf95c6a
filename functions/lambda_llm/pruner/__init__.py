"""The function that deletes unused published versions."""
