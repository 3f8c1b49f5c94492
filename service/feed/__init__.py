"""The feed as it is pulled: pages of it, a watch for who waits, and a digest to compare with."""
