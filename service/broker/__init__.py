"""The broker sink: each event of the feed to NATS JetStream, as a CloudEvent, in order."""
