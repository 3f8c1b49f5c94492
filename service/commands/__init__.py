"""Commands to Vipps: claimed, run with no transaction open, settled with their effects."""
