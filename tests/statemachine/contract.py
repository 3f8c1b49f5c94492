"""Contract §2, copied by hand and not derived from the code it is compared with."""

PAYABLE = ("created", "pushed", "soft_dismissed")
CONTRACT: dict[tuple[str, str | None], set[str]] = {
    ("create", None): {"created"},
    **{("push", start): {"pushed"} for start in PAYABLE},
    ("soft_dismiss", "pushed"): {"soft_dismissed"},
    **{("authorize", start): {"authorized"} for start in PAYABLE},
    **{("abort", start): {"aborted"} for start in PAYABLE},
    **{("expire", start): {"expired"} for start in PAYABLE},
    **{("terminate", start): {"terminated"} for start in PAYABLE},
    ("fail", "created"): {"failed"},
    ("capture", "authorized"): {"captured"},
    ("capture", "captured"): {"captured"},
    ("cancel", "authorized"): {"cancelled"},
    ("cancel", "captured"): {"refunded", "captured"},
    ("refund", "captured"): {"refunded", "captured"},
    **{("reopen", start): {"created"} for start in ("aborted", "expired", "failed")},
}
