"""Small Protocols that control composes and the adapters satisfy."""
