"""Background work of the portal: queues in the database, ticks, workers."""
