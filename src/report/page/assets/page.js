// What the page gains by a script: numbers that move, and charts that say the value under the pointer. All of it
// is on the page without.
"use strict";

/** Numbers that move: the server sends the text of each, and ends the stream now and then. */
const follow = (url) => {
  const stream = new EventSource(url);
  stream.onmessage = (message) => {
    for (const [name, text] of Object.entries(JSON.parse(message.data))) {
      for (const element of document.querySelectorAll(`[data-live="${name}"]`)) element.textContent = text;
    }
    document.querySelector(".dot")?.classList.add("moves");
  };
  stream.onerror = () => {
    document.querySelector(".dot")?.classList.remove("moves");
    // Refused, as when too many watch; else the browser asks again by itself.
    if (stream.readyState === EventSource.CLOSED) setTimeout(follow, 60_000, url);
  };
};

/** A line where the pointer is, and what the table has for it. The arrow keys move it too. */
const cross = (figure) => {
  const chart = figure.querySelector("svg.chart");
  const readout = figure.querySelector(".readout");
  if (!chart || !readout) return;
  const [head, ...rows] = Array.from(figure.querySelectorAll("tr"), (row) =>
    Array.from(row.cells, (cell) => cell.textContent),
  );
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  const plot = chart.querySelector(".plot");
  line.setAttribute("class", "cross");
  line.setAttribute("y1", plot.getAttribute("y"));
  line.setAttribute("y2", Number(plot.getAttribute("y")) + Number(plot.getAttribute("height")));
  let at = rows.length - 1;
  const show = (index) => {
    at = Math.max(0, Math.min(rows.length - 1, index));
    const x = `${(at / Math.max(1, rows.length - 1)) * 100}%`;
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
    if (!line.parentNode) chart.append(line);
    const [where, ...cells] = rows[at];
    readout.textContent = `${where}: ${cells.map((cell, column) => `${head[column + 1]} ${cell}`).join(", ")}`;
  };
  const hide = () => {
    line.remove();
    readout.textContent = "";
  };
  chart.addEventListener("pointermove", (event) => {
    const box = chart.getBoundingClientRect();
    show(Math.round(((event.clientX - box.left) / box.width) * (rows.length - 1)));
  });
  chart.addEventListener("pointerleave", hide);
  chart.setAttribute("tabindex", "0");
  chart.addEventListener("focus", () => show(at));
  chart.addEventListener("blur", hide);
  chart.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, Home: -rows.length, End: rows.length }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    show(at + by);
  });
};

document.querySelectorAll("[data-cross]").forEach(cross);
if (document.body.dataset.events) follow(document.body.dataset.events);
