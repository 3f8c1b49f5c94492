"""Betalbar, the service: everything that touches a clock, a disk or a network."""
