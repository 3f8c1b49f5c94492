"""Who else receives webhooks: receivers that ours is measured beside, and limits."""
