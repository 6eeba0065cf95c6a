"""Files and batches of tenants in one bucket: what the router, batch functions and the command line have in common."""
