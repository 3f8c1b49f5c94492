"""Tests of the Vipps look-alike, from outside, over real HTTP."""
