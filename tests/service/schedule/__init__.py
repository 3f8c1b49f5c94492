"""Tests of when things are due."""
