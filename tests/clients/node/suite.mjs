// Run the cases of one client program: a line `ok NAME` for each, and a stack for the first that fails.
import assert from "node:assert/strict";

export const { BATEAU_URL: URL, BATEAU_KEY: KEY, BATEAU_WRONG_KEY: WRONG_KEY } = process.env;
export const QUESTION = "Why is the sky blue?";
export const PARALLEL = 8;

export async function run(cases) {
  for (const [name, one] of Object.entries(cases)) {
    await one();
    console.log(`ok ${name}`);
  }
}

export async function raised(matches, call) {
  const error = await Promise.resolve().then(call).then(() => null, (caught) => caught);
  assert(error && matches(error), `expected an error, got ${error && error.stack}`);
  return error;
}

// No slot is busy with an answer that nobody reads any longer.
export async function quick(call) {
  const started = Date.now();
  await call();
  assert(Date.now() - started < 20_000, "the answers that were left are still being written");
}

export const many = (call) => Promise.all(Array.from({ length: PARALLEL }, call));
