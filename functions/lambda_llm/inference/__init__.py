"""The inference function: init, both front doors, snapshot. The only place that knows SnapStart."""
