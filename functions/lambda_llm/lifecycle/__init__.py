"""Init, snapshot, restore: the only place that knows Lambda and SnapStart."""
