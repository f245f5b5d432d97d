// Keeps a page up to date: takes changed parts from a stream, and says when there is none.
"use strict";

let main = document.getElementById("main"); // of the page that is shown: open.js shows others
const live = document.getElementById("live");
const stale = document.getElementById("stale");
const SILENCE_MS = 12000; // more than two signs of life
const AGAIN_MS = 1500;

// --- Replace parts, and keep what the reader has focused, typed, opened or selected.

function sameNode(one, two) {
  return one.nodeType === two.nodeType && one.nodeName === two.nodeName && (one.id || "") === (two.id || "");
}

function morph(from, to) {
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
    return;
  }
  const kept = (from.dataset.keep || "").split(" ");
  for (const { name, value } of to.attributes) {
    if (!kept.includes(name) && from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !kept.includes(name)) from.removeAttribute(name);
  }
  if (kept.includes("children")) return;
  const byId = new Map([...from.children].filter((each) => each.id).map((each) => [each.id, each]));
  let at = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    const known = wanted.id ? byId.get(wanted.id) : undefined;
    if (known && known !== at) from.insertBefore(known, at);
    const here = known || at;
    if (here && sameNode(here, wanted)) {
      at = here.nextSibling;
      morph(here, wanted);
    } else {
      from.insertBefore(wanted, at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

// Rows that are new, changed, moved or gone; the others are left alone.
function takeRows({ of, rows, order }) {
  const body = document.getElementById(of);
  if (!body) return;
  const made = new Map();
  for (const [id, html] of Object.entries(rows)) {
    const template = document.createElement("template");
    template.innerHTML = html; // escaped by the server
    const known = document.getElementById(id);
    if (known) morph(known, template.content.firstElementChild);
    else made.set(id, template.content.firstElementChild);
  }
  if (!order) return;
  const wanted = new Set(order);
  for (const row of [...body.children]) if (!wanted.has(row.id)) row.remove();
  let at = body.firstElementChild;
  for (const id of order) {
    const row = made.get(id) || document.getElementById(id);
    if (row === at) at = at.nextElementSibling;
    else if (row) body.insertBefore(row, at);
  }
}

function take(parts, rows = []) {
  rows.forEach(takeRows);
  for (const [id, html] of Object.entries(parts)) {
    const template = document.createElement("template");
    template.innerHTML = html; // escaped by the server
    const known = document.getElementById(id);
    const wanted = template.content.firstElementChild;
    if (known && wanted) morph(known, wanted);
  }
  document.dispatchEvent(new Event("bateau:parts"));
}

// --- Rows beyond the first screens come in templates, so that a page is painted before they are laid out.

const painted = () =>
  new Promise((resolve) => (document.hidden ? resolve() : requestAnimationFrame(() => setTimeout(resolve))));

function takeLater() {
  document.querySelectorAll("template.later").forEach((each) => each.replaceWith(each.content));
  filterAll();
}

// --- The stream.

let isWhole = false; // no update may come before the rows that it is of
let source = null;
let heardAt = 0;
let lastNews = new Date();
let ended = false;

function clockTime(date) {
  return date.toLocaleTimeString([], { hour12: false });
}

function show(state, says) {
  if (live.dataset.state !== state) {
    live.dataset.state = state;
    live.textContent = says;
  }
  const isStale = state === "stale";
  document.body.classList.toggle("is-stale", isStale);
  if (isStale && (stale.hidden || ended)) {
    stale.textContent = ended
      ? "The session has ended: sign in with the link that `bateau open` prints."
      : `Not up to date: no word from the control plane. This page shows ${clockTime(lastNews)}.`;
  }
  stale.hidden = !isStale;
}

function heard() {
  heardAt = Date.now();
  lastNews = new Date();
  show("live", "live");
}

function end() {
  ended = true;
  close();
  show("stale", "signed out");
}

function open() {
  if (source || ended || !isWhole) return;
  heardAt = Date.now();
  document.dispatchEvent(new Event("bateau:open"));
  const { live: address, path, have } = main.dataset;
  source = new EventSource(`${address}?${new URLSearchParams({ path, have })}`);
  source.addEventListener("alive", heard);
  source.addEventListener("parts", (event) => {
    heard();
    const { parts, rows, have } = JSON.parse(event.data);
    take(parts, rows);
    main.dataset.have = have;
  });
  source.addEventListener("lines", (event) => {
    heard();
    document.dispatchEvent(new CustomEvent("bateau:lines", { detail: JSON.parse(event.data) }));
  });
  source.addEventListener("gone", () => {
    heard();
    document.dispatchEvent(new Event("bateau:gone"));
  });
  source.addEventListener("signed-out", end);
  source.onerror = () => {
    close();
    show("stale", "not live");
    setTimeout(again, AGAIN_MS);
  };
}

// A refused stream gives no reason, so the page itself is asked whether the session is still there.
async function again() {
  if (source || ended || document.hidden) return;
  try {
    const answer = await fetch(location.href, { method: "HEAD", cache: "no-store" });
    if (answer.status === 401) return end();
  } catch {
    // The control plane, or the whole machine, is away.
  }
  open();
}

function close() {
  if (source) source.close();
  source = null;
}

if (main && main.dataset.live) {
  // A browser has few connections to a host: pages that nobody sees give theirs back.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", () => document.hidden || open());
  setInterval(() => {
    if (source && Date.now() - heardAt > SILENCE_MS) {
      close();
      show("stale", "not live");
      setTimeout(again, AGAIN_MS);
    }
  }, 1000);
  // A browser goes back to where the reader was, or to a line, only in a page that is long enough.
  const { type } = performance.getEntriesByType("navigation")[0] || {};
  if (type !== "navigate" || location.hash) ready();
  else painted().then(ready);
}

function ready() {
  takeLater();
  isWhole = true;
  if (!document.hidden) open();
}

// --- The theme: that of the system, light, or dark.

const themeButton = document.getElementById("theme");
const THEMES = ["", "light", "dark"];

function nameTheme() {
  const now = document.documentElement.dataset.theme || "";
  themeButton.textContent = { "": "Auto", light: "Light", dark: "Dark" }[now];
  themeButton.setAttribute("aria-label", `Colours: ${themeButton.textContent}`);
}

if (themeButton) {
  nameTheme();
  themeButton.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme || "") + 1) % THEMES.length];
    if (next) document.documentElement.dataset.theme = next;
    else delete document.documentElement.dataset.theme;
    localStorage.setItem("bateau-theme", next);
    nameTheme();
  });
}

// --- On a phone the navigation scrolls: the page that is shown is in sight.

function showCurrent() {
  const links = document.querySelector(".top nav");
  const current = links && links.querySelector("[aria-current]");
  // Only where it scrolls: to ask for the place of a link costs a layout of the whole page.
  if (current && matchMedia("(max-width: 700px)").matches) current.scrollIntoView({ inline: "center", block: "nearest" });
}
showCurrent();

// --- Filter the rows of a table, also those that come later.

function filterRows(input) {
  const wanted = input.value.trim().toLowerCase();
  const rows = document.getElementById(input.dataset.filter);
  for (const row of rows ? rows.children : []) {
    row.hidden = wanted !== "" && !row.textContent.toLowerCase().includes(wanted);
  }
}

document.addEventListener("input", (event) => {
  if (event.target.dataset.filter) filterRows(event.target);
});
function filterAll() {
  document.querySelectorAll("[data-filter]").forEach((each) => each.value && filterRows(each));
}
document.addEventListener("bateau:parts", filterAll);

// --- Keys: / goes to the filter or the search of a page.

document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.nodeName);
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    const search = document.querySelector("main input[type=search]");
    if (search) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  } else if (event.key === "Escape" && event.target.type === "search") {
    event.target.blur();
  }
});
