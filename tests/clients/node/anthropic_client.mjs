// Anthropic's client for Node.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { KEY, QUESTION, URL, WRONG_KEY, many, quick, raised, run } from "./suite.mjs";

const messages = [{ role: "user", content: QUESTION }];
const client = (apiKey = KEY) => new Anthropic({ baseURL: URL, apiKey, maxRetries: 0 });
const ask = (more = {}) => client().messages.create({ model: "chat", messages, max_tokens: 8, ...more });

await run({
  chat: async () => assert((await ask()).content[0].text),
  stream: async () => {
    const stream = client().messages.stream({ model: "chat", messages, max_tokens: 8 });
    assert((await stream.finalMessage()).content[0].text);
  },
  count_tokens: async () => assert((await client().messages.countTokens({ model: "chat", messages })).input_tokens > 3),
  cancel: async () => {
    for (let turn = 0; turn < 4; turn++) {
      for await (const each of await ask({ stream: true, max_tokens: 1000 })) if (each.type === "content_block_delta") break;
    }
    await quick(ask);
  },
  unknown_model: () => raised((error) => error instanceof Anthropic.NotFoundError, () => ask({ model: "nope" })),
  wrong_key: () => raised((error) => error instanceof Anthropic.AuthenticationError, () => client(WRONG_KEY).messages.create({ model: "chat", messages, max_tokens: 1 })),
  parallel: () => many(ask),
});
