"""What our events are made of, as types and as JSON Schema."""
