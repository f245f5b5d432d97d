# ruff: noqa: INP001 - a program, not part of a package
"""Answer GET /total?basket=tea,cup with the goods in the basket and their price. Standard library only."""

import argparse
import json
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PRICES = {"cup": 9, "kettle": 49, "pot": 29, "tea": 7}  # euros


def total(basket: str) -> dict[str, object]:
    """Return the known goods of a basket, and their total price."""
    goods = [each for each in basket.split(",") if each in PRICES]
    return {"goods": goods, "euros": sum(PRICES[each] for each in goods)}


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer /healthz and /total."""
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/healthz":
            self._send(200, {"ready": True})
        elif url.path == "/total":
            self._send(200, total(urllib.parse.parse_qs(url.query).get("basket", [""])[0]))
        else:
            self._send(404, {"error": "try /total?basket=tea,cup"})

    def _send(self, status: int, tree: dict[str, object]) -> None:
        body = json.dumps(tree).encode() + b"\n"
        self.send_response(status)
        self.send_header("content-type", "application/json")
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
