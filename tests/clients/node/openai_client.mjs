// OpenAI's client for Node.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { KEY, QUESTION, URL, WRONG_KEY, many, quick, raised, run } from "./suite.mjs";

const messages = [{ role: "user", content: QUESTION }];
const client = (apiKey = KEY) => new OpenAI({ baseURL: `${URL}/v1`, apiKey, maxRetries: 0 });
const ask = (more = {}) => client().chat.completions.create({ model: "chat", messages, max_tokens: 8, ...more });

await run({
  chat: async () => assert((await ask()).choices[0].message.content),
  stream: async () => {
    let pieces = 0;
    for await (const each of await ask({ stream: true })) pieces += each.choices[0]?.delta?.content ? 1 : 0;
    assert(pieces > 1);
  },
  responses: async () => assert((await client().responses.create({ model: "chat", input: QUESTION, max_output_tokens: 8 })).output_text),
  cancel: async () => {
    for (let turn = 0; turn < 4; turn++) {
      for await (const _ of await ask({ stream: true, max_tokens: 1000 })) break;
    }
    await quick(ask);
  },
  unknown_model: () => raised((error) => error instanceof OpenAI.NotFoundError, () => ask({ model: "nope" })),
  wrong_key: () => raised((error) => error instanceof OpenAI.AuthenticationError, () => client(WRONG_KEY).models.list()),
  embeddings: async () => assert.equal((await client().embeddings.create({ model: "embed", input: ["a b", "c d"] })).data.length, 2),
  parallel: () => many(ask),
});
