// Follows links between pages without loading scripts, styles and the frame again: only what is in the page is replaced.
// Addresses, the history, scrolling and the focus are those of a load, by the Navigation API; a browser without it loads
// each page.
"use strict";

// --- Scripts of a page: each calls onPage with a function, which is called whenever a page with the script is shown.
// Its signal is aborted when the page is left.

const starts = new Map(); // by the address of the script
let shown = new AbortController();

function onPage(start) {
  starts.set(document.currentScript.src, start);
  start(shown.signal);
}

const scriptsOf = (page) => [...page.querySelectorAll("head script")].map((each) => each.src);
const stylesOf = (page) => [...page.querySelectorAll("head link[rel=stylesheet]")];

function added(element) {
  return new Promise((resolve) => {
    element.onload = element.onerror = resolve;
    document.head.append(element);
  });
}

async function startScripts(addresses) {
  for (const src of addresses) {
    if (starts.has(src)) starts.get(src)(shown.signal);
    else if (!scriptsOf(document).includes(src)) await added(Object.assign(document.createElement("script"), { src }));
  }
}

async function takeStyles(wanted) {
  const mine = stylesOf(document);
  const has = (list, { href }) => list.some((each) => each.href === href);
  await Promise.all(wanted.filter((each) => !has(mine, each)).map((each) => added(each.cloneNode())));
  return () => mine.filter((each) => !has(wanted, each)).forEach((each) => each.remove());
}

// --- Show another page.

async function pageAt(address, signal) {
  const answer = await fetch(address, { signal, headers: { accept: "text/html" } });
  if (!answer.ok || answer.redirected) return null;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  // After an upgrade, the page needs other scripts of the frame than those that run here.
  const isSame = FRAME.every((each) => scriptsOf(page).includes(each));
  return isSame && page.getElementById("main")?.dataset.live ? page : null;
}

const FRAME = scriptsOf(document).filter((each) => /\/(ui|open|theme)\.js\?/.test(each));

async function openPage(address, event) {
  const { signal } = event;
  const page = await pageAt(address, signal).catch((error) => {
    // Another link was followed meanwhile. If the reader has stopped it, nothing but a load shows what the address names.
    if (signal.aborted) setTimeout(() => navigation.transition || isWhole || location.reload());
    if (signal.aborted) throw error;
    return null;
  });
  if (!page) return location.reload(); // a message, such as that the session has ended
  const dropStyles = await takeStyles(stylesOf(page));
  signal.throwIfAborted();
  shown.abort();
  shown = new AbortController();
  const frame = [".top nav", ".top .instance", "#main"];
  for (const each of frame) document.querySelector(each).replaceWith(page.querySelector(each));
  main = document.getElementById("main");
  document.querySelectorAll("body > input[type=hidden]").forEach((each) => each.remove());
  document.body.append(...page.querySelectorAll("body > input[type=hidden]"));
  dropStyles();
  live.textContent = "connecting";
  document.title = page.title;
  document.getElementById("opened").textContent = page.title;
  showCurrent();
  if (event.navigationType === "traverse" || address.hash) takeLater(); // it may scroll far
  event.scroll();
  document.dispatchEvent(new Event("bateau:page"));
  await Promise.all([startScripts(scriptsOf(page).filter((each) => !FRAME.includes(each))), painted()]);
  if (!signal.aborted) ready();
}

// A page whose text could be lost asks before it is left, which only a load does.
const isAlone = ({ origin, pathname }) =>
  origin !== location.origin || !pathname.startsWith("/ui/") || pathname.startsWith(main.dataset.alone);

if (main && window.navigation) {
  navigation.addEventListener("navigate", (event) => {
    const to = new URL(event.destination.url);
    const isOther = event.hashChange || event.downloadRequest !== null || event.formData;
    if (!event.canIntercept || isOther || event.navigationType === "reload" || isAlone(to) || isAlone(location)) return;
    isWhole = false;
    close();
    live.dataset.state = "waiting"; // its text changes with the page: a frame of the old one would delay the new one
    event.intercept({ handler: () => openPage(to, event) });
  });
}
