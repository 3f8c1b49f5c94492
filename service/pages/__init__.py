"""The invoice page: what a customer sees and does at `/i/{token}`, in five languages."""
