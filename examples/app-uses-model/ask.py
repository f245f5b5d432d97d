# ruff: noqa: INP001 - a program, not part of a package
"""Answer GET /ask?q=QUESTION with the model's answer. Standard library only.

Run by Bateau, which sets BATEAU_CHAT_URL and BATEAU_CHAT_MODEL because the spec has `uses: [model/chat]`.
"""

import argparse
import http.client
import json
import os
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TIMEOUT_S = 300.0


def ask(question: str) -> tuple[int, str]:
    """Return the status and the text of the model's answer. Raises OSError if the gateway cannot be reached."""
    url = urllib.parse.urlsplit(os.environ["BATEAU_CHAT_URL"])
    body = {
        "model": os.environ["BATEAU_CHAT_MODEL"],
        "messages": [{"role": "user", "content": question}],
        "max_tokens": 64,
    }
    connection = http.client.HTTPConnection(url.netloc, timeout=TIMEOUT_S)
    try:
        headers = {"content-type": "application/json"}
        connection.request("POST", f"{url.path}/chat/completions", json.dumps(body), headers)
        response = connection.getresponse()
        tree = json.load(response)
    finally:
        connection.close()
    if "error" in tree:
        return response.status, str(tree["error"]["message"])
    return response.status, str(tree["choices"][0]["message"]["content"])


class Handler(BaseHTTPRequestHandler):
    """One connection of the gateway."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer /healthz and /ask."""
        url = urllib.parse.urlsplit(self.path)
        question = urllib.parse.parse_qs(url.query).get("q", [""])[0]
        if url.path == "/healthz":
            self._send(200, "ok")
        elif url.path == "/ask" and question:
            try:
                self._send(*ask(question))
            except OSError as error:
                self._send(502, f"the gateway cannot be reached: {error}")
        else:
            self._send(404, "try /ask?q=Why+is+the+sky+blue")

    def _send(self, status: int, text: str) -> None:
        body = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("content-type", "text/plain; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serve on the port that Bateau assigns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="loopback port to listen on")
    ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Handler).serve_forever()


if __name__ == "__main__":
    main()
