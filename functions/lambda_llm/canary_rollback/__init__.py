"""The function that takes a version that alarms out of an alias."""
