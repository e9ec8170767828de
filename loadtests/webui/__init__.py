"""What the Locust web UI shows beyond its own: prediction, trust, charts, the finished run."""
