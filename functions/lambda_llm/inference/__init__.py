"""The inference function: init, both front doors, snapshot. The only package that depends on SnapStart."""
