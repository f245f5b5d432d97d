"""Who must offer what: small Protocols that control composes and the adapters satisfy."""
