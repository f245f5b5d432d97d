// The AI SDK with its provider for endpoints like OpenAI's.
import assert from "node:assert/strict";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, streamText } from "ai";
import { KEY, QUESTION, URL, WRONG_KEY, many, quick, raised, run } from "./suite.mjs";

const provider = (apiKey = KEY) => createOpenAICompatible({ name: "bateau", baseURL: `${URL}/v1`, apiKey });
const ask = (name = "chat", key = KEY) => generateText({ model: provider(key)(name), prompt: QUESTION, maxOutputTokens: 8, maxRetries: 0 });

await run({
  chat: async () => assert((await ask()).text),
  stream: async () => {
    let pieces = 0;
    for await (const _ of streamText({ model: provider()("chat"), prompt: QUESTION, maxOutputTokens: 8 }).textStream) pieces++;
    assert(pieces > 1);
  },
  cancel: async () => {
    for (let turn = 0; turn < 4; turn++) {
      const stop = new AbortController();
      const answer = streamText({ model: provider()("chat"), prompt: QUESTION, maxOutputTokens: 1000, abortSignal: stop.signal, onError: () => {} });
      for await (const _ of answer.textStream) break;
      stop.abort();
    }
    await quick(() => ask());
  },
  unknown_model: () => raised((error) => error.statusCode === 404, () => ask("nope")),
  wrong_key: () => raised((error) => error.statusCode === 401, () => ask("chat", WRONG_KEY)),
  embeddings: async () => assert.equal((await embedMany({ model: provider().textEmbeddingModel("embed"), values: ["a b", "c d"] })).embeddings.length, 2),
  parallel: () => many(() => ask()),
});
