"""The wire formats of webhooks, in and out: pure, no I/O, no clock, no framework."""
