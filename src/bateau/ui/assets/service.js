// The page of a service: its log, the origins of its fields, a chat, and actions. Text of others is only ever text.
"use strict";

onPage((signal) => {
  const byId = (id) => document.getElementById(id);

  // --- The log: search and pause.

  const LINES_MAX = 5000;
  const log = byId("log-lines");
  const search = byId("log-search");
  const pause = byId("log-pause");
  const waiting = [];
  let several = false;
  let lastReplica = null;

  const matches = (line) => search.value === "" || line.textContent.toLowerCase().includes(search.value.toLowerCase());

  function lineOf([replica, text]) {
    const line = document.createElement("div");
    if (lastReplica !== null && replica !== lastReplica) several = true;
    lastReplica = replica;
    const who = document.createElement("span");
    who.className = "who";
    who.textContent = replica;
    line.append(who, text);
    line.hidden = !matches(line);
    return line;
  }

  function count() {
    const all = log.childElementCount;
    const shown = search.value === "" ? all : log.querySelectorAll(":scope > :not([hidden])").length;
    const lines = `${all.toLocaleString()} ${all === 1 ? "line" : "lines"}`;
    const held = waiting.length ? `, ${waiting.length.toLocaleString()} new` : "";
    byId("log-count").textContent =
      (search.value === "" ? lines : `${shown.toLocaleString()} of ${lines}`) + held;
    byId("log-empty").hidden = all > 0;
    log.hidden = all === 0;
  }

  function append(lines) {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 24;
    log.append(...lines.map(lineOf));
    while (log.childElementCount > LINES_MAX) log.firstElementChild.remove();
    log.classList.toggle("several", several);
    count();
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  let first = true;
  document.addEventListener("bateau:lines", ({ detail }) => {
    const lines = detail.lost ? [["", `(${detail.lost} lines are not shown)`], ...detail.lines] : detail.lines;
    if (pause.getAttribute("aria-pressed") === "true") {
      waiting.push(...lines);
      waiting.splice(0, Math.max(0, waiting.length - LINES_MAX));
      return count();
    }
    if (first) log.scrollTop = log.scrollHeight;
    first = false;
    append(lines);
  }, { signal });
  // A stream begins with the last lines, so those that are there would come twice.
  document.addEventListener("bateau:open", () => {
    log.replaceChildren();
    waiting.length = 0;
    count();
  }, { signal });
  pause.addEventListener("click", () => {
    const paused = pause.getAttribute("aria-pressed") !== "true";
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Resume" : "Pause";
    if (!paused) append(waiting.splice(0));
  });
  search.addEventListener("input", () => {
    for (const line of log.children) line.hidden = !matches(line);
    log.scrollTop = log.scrollHeight;
    count();
  });
  count();

  // --- Origins: shown while a field is pointed at or has the focus, and kept open by a click.

  document.addEventListener("click", (event) => {
    const leaf = event.target.closest(".leaf");
    if (!leaf) return;
    const open = leaf.getAttribute("aria-expanded") !== "true";
    leaf.setAttribute("aria-expanded", String(open));
    byId(leaf.getAttribute("aria-controls")).classList.toggle("pinned", open);
  }, { signal });
  document.addEventListener("keydown", (event) => {
    const spec = byId("spec");
    if (event.key !== "Escape" || !spec) return;
    spec.classList.add("dismissed");
    const back = () => spec.classList.remove("dismissed");
    spec.addEventListener("focusin", back, { once: true });
    spec.addEventListener("mouseover", back, { once: true });
  }, { signal });

  // --- Actions.

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-action]");
    if (!button || !confirm(button.dataset.confirm)) return;
    const done = byId("done");
    const csrf = byId("main").dataset.csrf;
    done.textContent = "";
    try {
      const answer = await fetch(button.dataset.action, { method: "POST", headers: { "x-csrf-token": csrf } });
      const isJson = (answer.headers.get("content-type") || "").startsWith("application/json");
      const page = isJson ? null : new DOMParser().parseFromString(await answer.text(), "text/html");
      done.textContent = page ? page.querySelector("main").textContent : (await answer.json()).says;
    } catch {
      done.textContent = "The control plane does not answer.";
    }
  }, { signal });

  // --- The chat, which asks the endpoint itself, as any client does.

  const chat = byId("chat");
  if (!chat) return;
  const form = byId("chat-form");
  const text = byId("chat-text");
  const list = byId("chat-messages");
  const figures = byId("chat-figures");
  const send = byId("chat-send");
  let messages = [];
  let asking = null;
  signal.addEventListener("abort", () => asking?.abort());

  function bubble(role, says) {
    const each = document.createElement("div");
    each.className = `message ${role}`;
    const who = document.createElement("span");
    who.className = "who";
    who.textContent = { user: "You", assistant: chat.dataset.model, error: "Error" }[role];
    const body = document.createElement("div");
    body.className = "body";
    body.textContent = says;
    each.append(who, body);
    list.append(each);
    list.scrollTop = list.scrollHeight;
    return body;
  }

  async function* events(answer) {
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        const data = line.startsWith("data:") ? line.slice(5).trim() : "";
        if (data && data !== "[DONE]") yield JSON.parse(data);
      }
    }
  }

  async function ask() {
    const headers = { "content-type": "application/json" };
    const key = byId("chat-key");
    if (key && key.value) headers.authorization = `Bearer ${key.value}`;
    const body = { model: chat.dataset.model, messages, stream: true, stream_options: { include_usage: true } };
    const began = performance.now();
    let firstAt = null;
    let says = "";
    let usage = null;
    asking = new AbortController();
    const answer = await fetch("/v1/chat/completions", {
      method: "POST", headers, body: JSON.stringify(body), signal: asking.signal, credentials: "omit",
    });
    if (!answer.ok) {
      const found = await answer.json().catch(() => null);
      throw new Error((found && found.error && found.error.message) || `status ${answer.status}`);
    }
    const shown = bubble("assistant", "");
    try {
      for await (const event of events(answer)) {
        if (event.error) throw new Error(event.error.message);
        const delta = event.choices && event.choices[0] && event.choices[0].delta;
        const piece = delta && (delta.content || delta.reasoning_content);
        if (piece) {
          firstAt = firstAt || performance.now();
          says += piece;
          shown.textContent = says;
          list.scrollTop = list.scrollHeight;
        }
        usage = event.usage || usage;
      }
    } finally {
      messages.push({ role: "assistant", content: says });
    }
    const seconds = (performance.now() - (firstAt || began)) / 1000;
    const out = usage ? usage.completion_tokens : null;
    figures.textContent = [
      usage ? `${usage.prompt_tokens} tokens in, ${out} out` : "tokens unknown",
      out && seconds > 0 ? `${(out / seconds).toFixed(0)} tokens/s` : "",
      firstAt ? `first token ${(firstAt - began).toFixed(0)} ms` : "",
    ].filter(Boolean).join(" · ");
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (asking) return asking.abort();
    const says = text.value.trim();
    if (!says) return;
    messages.push({ role: "user", content: says });
    bubble("user", says);
    text.value = "";
    send.textContent = "Stop";
    try {
      await ask();
    } catch (error) {
      if (error.name !== "AbortError") bubble("error", error.message);
    } finally {
      asking = null;
      send.textContent = "Send";
      text.focus();
    }
  });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  byId("chat-clear").addEventListener("click", () => {
    messages = [];
    list.replaceChildren();
    figures.textContent = "";
    text.focus();
  });
});
