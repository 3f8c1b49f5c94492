"""What has been kept long enough goes; nothing else does."""
