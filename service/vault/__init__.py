"""Encryption at rest: master keys wrap data keys, data keys seal what is stored."""

from service.vault.box import Box, SealBroken
from service.vault.master import load_master_keys
from service.vault.rewrapping import rewrap
from service.vault.vault import Vault, open_vault

__all__ = ["Box", "SealBroken", "Vault", "load_master_keys", "open_vault", "rewrap"]
