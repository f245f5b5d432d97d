// The editor of a spec file: line numbers that follow the text, and the way from an error to its line.
"use strict";

onPage((signal) => {
  const text = document.getElementById("text");
  if (!text) return;
  const lines = document.getElementById(text.dataset.lines);
  const unsaved = document.getElementById("unsaved");
  const before = text.value;
  const ROWS_MIN = 12;
  let sending = false;

  function number() {
    const rows = text.value.split("\n").length;
    text.rows = Math.max(rows, ROWS_MIN);
    while (lines.childElementCount < rows) {
      const at = document.createElement("span");
      at.textContent = String(lines.childElementCount + 1);
      at.id = `line-${at.textContent}`;
      lines.append(at);
    }
    while (lines.childElementCount > rows) lines.lastElementChild.remove();
    unsaved.textContent = text.value === before ? "" : "not planned yet";
  }

  function goTo(line) {
    const all = text.value.split("\n");
    const start = all.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    text.focus();
    text.setSelectionRange(start, start + (all[line - 1] || "").length);
    const at = lines.children[line - 1];
    if (at) at.scrollIntoView({ block: "center" });
  }

  text.addEventListener("input", number);
  text.form.addEventListener("submit", () => (sending = true));
  window.addEventListener("beforeunload", (event) => {
    if (!sending && text.value !== before) event.preventDefault();
  }, { signal });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-line]");
    if (!link || link.pathname !== location.pathname) return;
    event.preventDefault();
    goTo(Number(link.dataset.line));
  }, { signal });
  // Two spaces for Tab would trap the keyboard; Ctrl or Command with Enter plans.
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) text.form.requestSubmit();
  });
  number();
});
