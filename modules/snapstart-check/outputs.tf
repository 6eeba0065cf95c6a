# None: whatever referred to them would have to wait for the check.
