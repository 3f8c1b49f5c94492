"""The invoice's state machine: pure decisions, values in, values or typed errors out."""
