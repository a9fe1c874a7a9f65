"use strict";
// Quality against time, colour for memory; and the metrics as curves over the frames.
const colour = () => getComputedStyle(document.body).getPropertyValue("--fg").trim();
const layout = (x, y) => ({
  paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: colour(), size: 12 }, margin: { l: 60, r: 20, t: 24, b: 48 },
  xaxis: { title: { text: x }, gridcolor: "#8884", zerolinecolor: "#8884" }, yaxis: { title: { text: y }, gridcolor: "#8884", zerolinecolor: "#8884" },
  legend: { orientation: "h", y: -0.25, font: { size: 11 } }, hovermode: "closest", height: 380,
});
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;"); // plotly reads some markup
const options = { responsive: true, displaylogo: false, displayModeBar: false };
function pareto() {
  const { table, objective } = DATA.choice;
  const name = (row) => plain(DATA.axes.map((axis) => row[axis]).join(" "));
  const trace = (rows, label, symbol) => ({
    type: "scatter", mode: "markers+text", name: label, x: rows.map((r) => r.seconds && r.seconds.mean), y: rows.map((r) => r[objective].mean),
    text: rows.length > 12 ? undefined : rows.map(name), hovertext: rows.map((r) => `${name(r)}<br>peak ${shown(r.peak_allocated_gib)} GiB`), textposition: "top center",
    error_y: { type: "data", symmetric: false, thickness: 1, array: rows.map((r) => (r[objective].high ?? r[objective].mean) - r[objective].mean), arrayminus: rows.map((r) => r[objective].mean - (r[objective].low ?? r[objective].mean)) },
    marker: { size: 13, symbol, color: symbol === "star" ? "#1f9d7f" : "#8a929e" },
  });
  const [on, off] = [table.filter((r) => r.pareto), table.filter((r) => !r.pareto)];
  Plotly.newPlot("pareto", [trace(on, "on the Pareto front", "star"), trace(off, "beaten by another", "circle")], layout("seconds a run", plain(objective)), options);
}
function curves(rows) {
  const metric = byId("curve-metric").value;
  const traces = rows.filter((run) => run.per_frame[metric]).slice(0, 24).map((run) => ({
    type: "scatter", mode: "lines", name: plain([...DATA.axes.map((axis) => run.axes[axis]), run.prompt, `seed ${run.seed}`].join(" ")), y: run.per_frame[metric], connectgaps: false,
  }));
  Plotly.react("curves", traces, { ...layout("frame", plain(metric)), showlegend: traces.length <= 8 }, options);
}
if (DATA.choice) pareto(); else byId("pareto").remove();
const metrics = [...new Set(DATA.runs.flatMap((run) => Object.keys(run.per_frame)))];
if (metrics.length) {
  byId("curve-metric").append(...metrics.map((name) => el("option", { value: name }, name)));
  byId("curve-metric").addEventListener("change", () => curves(filtered()));
  listeners.push(curves);
  curves(filtered());
} else byId("curves").replaceChildren(el("p", { class: "dim" }, "No curves were recorded."));
