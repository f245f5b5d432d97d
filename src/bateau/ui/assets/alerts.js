// What people do about alerts: a button or a form with data-alert is sent there, and the answer is shown.
"use strict";

onPage((signal) => {
  const csrf = main.dataset.csrf;

  async function send(address, control) {
    control.disabled = true;
    let says;
    try {
      const answer = await fetch(address, { method: "POST", headers: { "x-csrf-token": csrf } });
      const isJson = (answer.headers.get("content-type") || "").includes("json");
      const page = isJson ? null : new DOMParser().parseFromString(await answer.text(), "text/html");
      says = page ? page.querySelector("main").textContent : (await answer.json()).says;
    } catch {
      says = "The control plane does not answer.";
    }
    control.disabled = false;
    const done = document.getElementById("alerts-done");
    if (done) done.textContent = says;
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-alert]");
    if (button) send(button.dataset.alert, button);
  }, { signal });
  document.addEventListener("submit", (event) => {
    const form = event.target.closest("form[data-alert]");
    if (!form) return;
    event.preventDefault();
    send(`${form.dataset.alert}?${new URLSearchParams(new FormData(form))}`, form.querySelector("[type=submit]"));
  }, { signal });
});
