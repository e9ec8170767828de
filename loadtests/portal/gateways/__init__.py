"""Services of others that the portal calls: synthetic answers, with delays, limits and faults."""
