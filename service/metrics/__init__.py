"""What can be counted of the service, and how Prometheus reads it."""
