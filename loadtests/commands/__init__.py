"""Commands of `hoso` that need the load tests; each imports what it needs."""
