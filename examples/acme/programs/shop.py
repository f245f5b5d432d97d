# ruff: noqa: INP001, S310 - a program, not part of a package; every URL comes from its spec
"""A shop front: GET /?basket=tea,cup asks the cart, GET /ask?q=QUESTION asks the assistant. Standard library only.

`uses` in its spec sets BATEAU_CART_URL, BATEAU_ASSISTANT_URL and BATEAU_ASSISTANT_MODEL, here as in a pod.
"""

import argparse
import json
import os
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TIMEOUT_S = 120.0


def front(basket: str) -> str:
    """Return the page for a customer. Raises OSError if the cart does not answer."""
    query = urllib.parse.urlencode({"basket": basket})
    found = _answer(urllib.request.Request(f"{os.environ['BATEAU_CART_URL']}/total?{query}"))
    goods = ", ".join(found["goods"]) or "nothing yet"
    search = "search: on" if os.environ.get("SEARCH_URL") else "search: not here"
    return f"{os.environ['BANNER']}\nin your basket: {goods}, {found['euros']} euros\n{search}\n"


def ask(question: str) -> str:
    """Return the assistant's answer. Raises OSError if it does not answer."""
    body = {
        "model": os.environ["BATEAU_ASSISTANT_MODEL"],
        "messages": [{"role": "user", "content": question}],
        "max_tokens": 48,
    }
    url = f"{os.environ['BATEAU_ASSISTANT_URL']}/chat/completions"
    headers = {"content-type": "application/json"}
    found = _answer(urllib.request.Request(url, json.dumps(body).encode(), headers))
    return f"{found['choices'][0]['message']['content']}\n"


def _answer(request: urllib.request.Request) -> Any:
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        return json.load(response)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer /healthz, / and /ask."""
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        try:
            if url.path == "/healthz":
                self._send(200, "ready\n")
            elif url.path == "/":
                self._send(200, front(query.get("basket", [""])[0]))
            elif url.path == "/ask" and "q" in query:
                self._send(200, ask(query["q"][0]))
            else:
                self._send(404, "try /?basket=tea,cup or /ask?q=Which+tea+is+green\n")
        except OSError as error:
            self._send(502, f"what the shop asks does not answer: {error}\n")

    def _send(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", "text/plain; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serve where the spec says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    where = parser.parse_args()
    ThreadingHTTPServer((where.host, where.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
