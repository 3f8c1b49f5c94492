"""What merchants are told: subscriptions, the fan-out of the feed, and its delivery."""
