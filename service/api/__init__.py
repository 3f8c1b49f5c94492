"""What merchants' systems call: `/v1`, and the two health addresses."""
