"""People who use the console: who they are, what they may, and how they show it."""
