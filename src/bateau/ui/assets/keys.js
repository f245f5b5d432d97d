// Copies a secret that is shown once.
"use strict";

onPage(() => document.getElementById("copy").addEventListener("click", async ({ target }) => {
  const text = document.getElementById("secret-text");
  getSelection().selectAllChildren(text);
  try {
    await navigator.clipboard.writeText(text.textContent);
    target.textContent = "Copied";
  } catch {
    target.textContent = "Press Ctrl-C"; // over plain HTTP from another machine, a page may not copy
  }
}));
