"""The proof of an invoice's history: its hash chain, and evidence for outsiders."""
