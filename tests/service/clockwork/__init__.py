"""Tests of what happens because time passes."""
