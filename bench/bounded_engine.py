"""An engine that needs no processor: it answers a bounded number of requests at once, each after the same time.

Run by bench.overload in the place of vLLM, whose options it takes. A real engine would compete with the gateway and
the client for the cores, and the figures would be those of the scheduler. To the control plane and to the gateway, it
is an engine like any other: a supervised process on a unix socket, which is probed.

Invariant: requests beyond the slots wait in the order in which they arrived, as in an engine.
"""

import argparse
import asyncio
import json
import os

from aiohttp import web

ANSWER_S = 0.2


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("serve")
    parser.add_argument("source")
    parser.add_argument("--served-model-name", required=True)
    parser.add_argument("--uds", required=True)
    parser.add_argument("--max-num-seqs", type=int, required=True)
    options = parser.parse_args()
    os.umask(0o177)  # only its owner may use the socket
    slots = asyncio.Semaphore(options.max_num_seqs)
    answer = json.dumps(
        {
            "id": "x",
            "object": "chat.completion",
            "model": options.served_model_name,
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x " * 64}}],
            "usage": {"prompt_tokens": 32, "completion_tokens": 64, "total_tokens": 96},
        }
    )

    async def chat(request: web.Request) -> web.Response:
        await request.read()
        async with slots:
            await asyncio.sleep(ANSWER_S)
        return web.Response(text=answer, content_type="application/json")

    async def health(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/health", health)
    app.router.add_post("/v1/chat/completions", chat)
    web.run_app(app, path=options.uds, access_log=None, print=None)


if __name__ == "__main__":
    main()
