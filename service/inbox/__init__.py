"""Where Vipps posts its webhooks: verified, stored with their effect, then answered."""
