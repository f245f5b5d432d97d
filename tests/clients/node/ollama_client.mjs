// Ollama's client for Node.
import assert from "node:assert/strict";
import { Ollama } from "ollama";
import { KEY, QUESTION, URL, WRONG_KEY, many, quick, raised, run } from "./suite.mjs";

const messages = [{ role: "user", content: QUESTION }];
const client = (key = KEY) => new Ollama({ host: URL, headers: { Authorization: `Bearer ${key}` } });
const ask = (more = {}) => client().chat({ model: "chat", messages, options: { num_predict: 8 }, ...more });

await run({
  chat: async () => assert((await ask()).message.content),
  stream: async () => {
    const pieces = [];
    for await (const each of await ask({ stream: true })) pieces.push(each);
    assert(pieces.length > 2 && pieces.at(-1).done && pieces.at(-1).eval_count === 8);
  },
  generate: async () => assert((await client().generate({ model: "chat", prompt: QUESTION, options: { num_predict: 8 } })).response),
  cancel: async () => {
    for (let turn = 0; turn < 4; turn++) {
      const stream = await ask({ stream: true, options: { num_predict: 1000 } });
      for await (const _ of stream) break;
      stream.abort();
    }
    await quick(ask);
  },
  unknown_model: () => raised((error) => error.status_code === 404 && error.message.includes("chat"), () => ask({ model: "nope" })),
  wrong_key: () => raised((error) => error.status_code === 401, () => client(WRONG_KEY).list()),
  embeddings: async () => assert.equal((await client().embed({ model: "embed", input: ["a b", "c d"] })).embeddings.length, 2),
  parallel: () => many(ask),
  names: async () => assert.deepEqual((await client().list()).models.map((each) => each.name), ["chat:latest", "embed:latest", "gpt-4o-mini:latest", "rank:latest"]),
});
