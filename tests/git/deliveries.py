"""Webhooks as GitHub sends them."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """The headers and the body of a webhook."""

    headers: Mapping[str, str]
    body: bytes


def delivery(body: bytes, *, secret: str, event: str = "push") -> Delivery:
    """Return the body, signed with the secret."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": event,
        "X-Hub-Signature-256": f"sha256={signature}",
    }
    return Delivery(headers=headers, body=body)


def push(ref: str, *, secret: str) -> Delivery:
    """Return the webhook for the push of a ref, named in full."""
    return delivery(json.dumps({"ref": ref, "after": "ab" * 20}).encode(), secret=secret)
