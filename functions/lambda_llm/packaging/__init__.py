"""The functions' zips: how they are built and verified. No zip contains this."""
