"""The function's zip: what is in it, and how one is checked. It is not part of the zip itself."""
