// Charts: the values at a cursor, for a pointer and for keys. The text in the legend is that of the server again
// when the cursor leaves.
"use strict";

onPage((signal) => {
  const says = document.getElementById("charts-cursor");
  let read = null; // the chart that is read, by its id, and the step at the cursor

  const chartOf = (target) => (target instanceof Element ? target.closest(".plot") : null);

  function data(chart) {
    const svg = chart.querySelector("svg");
    const [left, right] = svg.dataset.box.split(" ").map(Number);
    const whens = svg.dataset.whens.split("|");
    const names = svg.dataset.names.split("|");
    const lines = svg.dataset.values.split("\n").map((each) => each.split("|"));
    return { svg, left, right, whens, names, lines };
  }

  function show(chart, wanted, aloud) {
    const { svg, left, right, whens, names, lines } = data(chart);
    const at = Math.max(0, Math.min(whens.length - 1, wanted));
    const cursor = svg.querySelector(".cursor");
    const x = String(left + ((right - left) * at) / Math.max(whens.length - 1, 1));
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    const legend = chart.querySelector(".legend");
    if (!legend.dataset.latest) legend.dataset.latest = JSON.stringify(texts(legend));
    const values = lines.map((line) => line[at]);
    [...legend.querySelectorAll(".value")].forEach((each, index) => (each.textContent = values[index]));
    let when = legend.querySelector(".at");
    if (!when) {
      when = document.createElement("span");
      when.className = "at";
      legend.prepend(when);
    }
    when.textContent = whens[at];
    chart.classList.add("is-read");
    if (aloud) says.textContent = `${whens[at]}: ${values.map((each, index) => `${names[index]} ${each}`.trim()).join(", ")}`;
    read = { id: chart.id, at, fromEnd: whens.length - 1 - at };
  }

  const texts = (legend) => [...legend.querySelectorAll(".value")].map((each) => each.textContent);

  function leave() {
    const chart = read && document.getElementById(read.id);
    read = null;
    if (!chart) return;
    const legend = chart.querySelector(".legend");
    const latest = JSON.parse(legend.dataset.latest || "[]");
    [...legend.querySelectorAll(".value")].forEach((each, index) => (each.textContent = latest[index] || each.textContent));
    delete legend.dataset.latest;
    legend.querySelector(".at")?.remove();
    chart.classList.remove("is-read");
  }

  function move(chart, at, aloud) {
    if (read && read.id !== chart.id) leave();
    show(chart, at, aloud);
  }

  document.addEventListener("pointermove", (event) => {
    const svg = event.target instanceof Element ? event.target.closest(".plot svg") : null;
    if (!svg) {
      if (read && !document.getElementById(read.id)?.querySelector("svg:focus-visible")) leave();
      return;
    }
    const { left, right, whens } = data(chartOf(svg));
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    move(chartOf(svg), Math.round(((x - left) / (right - left)) * (whens.length - 1)), false);
  }, { signal });
  document.addEventListener("keydown", (event) => {
    const chart = chartOf(event.target);
    if (!chart || event.target.nodeName !== "svg") return;
    if (event.key === "Escape") return leave();
    const { whens } = data(chart);
    const last = whens.length - 1;
    const now = read && read.id === chart.id ? read.at : last + 1;
    const far = Math.max(1, Math.round(whens.length / 12));
    const wanted = {
      ArrowLeft: now - 1, ArrowRight: now + 1, PageUp: now - far, PageDown: now + far, Home: 0, End: last,
    }[event.key];
    if (wanted === undefined) return;
    event.preventDefault();
    move(chart, wanted, true);
  }, { signal });
  document.addEventListener("focusout", (event) => {
    if (read && chartOf(event.target)?.id === read.id) leave();
  }, { signal });
  // New values have come: the cursor stays at its step, and the text that was put aside is that of before.
  document.addEventListener("bateau:parts", () => {
    const chart = read && document.getElementById(read.id);
    if (!chart) return;
    delete chart.querySelector(".legend").dataset.latest;
    show(chart, read.at, false);
  }, { signal });
});
