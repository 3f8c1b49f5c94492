"""Tests of the figures and of how Prometheus reads them."""
