"""Answer GET /ask?q=QUESTION with what the model says. Standard library alone.

Run by Bateau, which sets BATEAU_CHAT_URL and BATEAU_CHAT_MODEL since the spec says `uses: [model/chat]`.
"""

import argparse
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TIMEOUT_S = 300.0


def ask(question: str) -> str:
    """Return the model's answer. Raises URLError where the gateway cannot be reached or answers an error."""
    body = {
        "model": os.environ["BATEAU_CHAT_MODEL"],
        "messages": [{"role": "user", "content": question}],
        "max_tokens": 64,
    }
    request = urllib.request.Request(
        f"{os.environ['BATEAU_CHAT_URL']}/chat/completions",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        return str(json.load(response)["choices"][0]["message"]["content"])


class Handler(BaseHTTPRequestHandler):
    """One connection of the gateway."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
        """Answer /healthz and /ask."""
        url = urllib.parse.urlsplit(self.path)
        question = urllib.parse.parse_qs(url.query).get("q", [""])[0]
        if url.path == "/healthz":
            self._send(200, "ok\n")
        elif url.path == "/ask" and question:
            try:
                self._send(200, ask(question) + "\n")
            except urllib.error.URLError as error:
                self._send(502, f"the model did not answer: {error}\n")
        else:
            self._send(404, "try /ask?q=Why+is+the+sky+blue\n")

    def _send(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", "text/plain; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serve on the port that Bateau hands out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="loopback port to listen on")
    ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Handler).serve_forever()


if __name__ == "__main__":
    main()
