"""Tell the refusal of one object from trouble of the API server, whatever HTTP status it has.

Called by runtimes.kubernetes.requests. Pure. Source: the messages of Kubernetes 1.37.

A webhook chooses the status of its denial, and the API server passes it on: a denial with 401, 410 or 503 says nothing
about credentials, versions or the API server.

Invariant: what is refused for one object is reported there, and never as a cluster that cannot be reached. Held by
tests/runtimes/kubernetes/test_webhooks.py.
"""

import re
from typing import Final

from bateau.domain.errors import ObjectRefused
from bateau.kit.json_value import Json, text_at

_DENIED: Final = re.compile(r'admission webhook "[^"]+" denied the request|denied request: ')
_TOO_LARGE: Final = "etcdserver: request is too large"
_UNANSWERED: Final = re.compile(
    r'failed calling webhook "(?P<name>[^"]+)": (?:failed to call webhook: )?'
    r'(?:\w+ "(?P<url>[^"?]+)[^"]*": )?(?P<why>.*)',
    re.DOTALL,
)
_WORDS: Final = (
    ("context deadline exceeded", "no answer in time"),
    ("i/o timeout", "no answer in time"),
    ("connection refused", "connection refused"),
    ("x509: ", "its certificate is not trusted"),
    ("no such host", "no such host"),
)
_LATE: Final = ("context deadline exceeded", "i/o timeout")


def refusal(status: int, tree: Json) -> ObjectRefused | None:
    """Return the refusal in an answer that the same request would get again; None for any other answer.

    A webhook that has not answered in time is asked again only with the object: each attempt may take half a minute.
    """
    says = text_at(tree, "message")
    unanswered = _UNANSWERED.search(says)
    late = unanswered is not None and any(each in unanswered["why"] for each in _LATE)
    if not late and not _DENIED.search(says) and says != _TOO_LARGE:
        return None
    return ObjectRefused(webhook_words(says), reason="Denied", code=status)


def webhook_words(message: str) -> str:
    """Return why the API server could not ask a webhook; any other message as it is.

    >>> webhook_words('failed calling webhook "a.b.c": failed to call webhook: Post "https://a/b?timeout=9s": EOF')
    'the API server needs the answer of the webhook a.b.c, and cannot ask it at https://a/b: EOF'
    """
    found = _UNANSWERED.search(message)
    if found is None:
        return message
    why = next((says for told, says in _WORDS if told in found["why"]), found["why"])
    at = f" at {found['url']}" if found["url"] else ""
    return f"the API server needs the answer of the webhook {found['name']}, and cannot ask it{at}: {why}"
