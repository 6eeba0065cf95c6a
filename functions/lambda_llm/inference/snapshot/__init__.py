"""What runs right before a SnapStart snapshot and right after a restore."""
