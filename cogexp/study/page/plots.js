"use strict";
// Quality against cost; seconds by stage; metrics as curves over the frames.
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const PALETTE = ["#2a8f76", "#d08a2e", "#5277c3", "#b5546b", "#7d8b3a", "#8a63b5", "#3d9db3", "#8c6d55"];
const layout = (x, y, more = {}) => ({
  paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: css("--fg"), size: 12 }, margin: { l: 64, r: 20, t: 20, b: 60 }, colorway: PALETTE,
  xaxis: { title: { text: x, standoff: 8 }, gridcolor: "#8883", zerolinecolor: "#8884", automargin: true }, yaxis: { title: { text: y }, ticksuffix: " ", gridcolor: "#8883", zerolinecolor: "#8884", automargin: true },
  legend: { orientation: "h", y: -0.22, font: { size: 11 } }, hovermode: "closest", height: 400, ...more,
});
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;"); // plotly reads some markup
const options = { responsive: true, displaylogo: false, displayModeBar: false };
const COSTS = { "seconds a run": (row) => row.seconds && row.seconds.mean, "peak GiB": (row) => row.peak_allocated_gib };
let against = "seconds a run";
function pareto() {
  const { table, objective } = DATA.choice;
  const costOf = COSTS[against];
  const rows = table.filter((row) => costOf(row) !== null && costOf(row) !== undefined);
  // The name stands away from the nearest neighbour, so that the two do not meet.
  const nearest = (row) => rows.filter((other) => other !== row).reduce((a, b) => (a && Math.abs(costOf(a) - costOf(row)) <= Math.abs(costOf(b) - costOf(row)) ? a : b), null);
  const below = new Set(rows.filter((row) => nearest(row) && row[objective].mean < nearest(row)[objective].mean));
  const name = (row) => plain(DATA.axes.map((axis) => row[axis]).join(" "));
  // Names beside many points would lie over one another: then only the front has them, the others on hover.
  const trace = (rows, label, symbol) => ({
    type: "scatter", mode: symbol !== "star" && table.length > 6 ? "markers" : "markers+text", name: label, x: rows.map(costOf), y: rows.map((r) => r[objective].mean),
    text: rows.map(name), hovertext: rows.map((r) => `${name(r)}<br>${plain(objective)} ${estimate(r[objective])}<br>${r.seconds ? `${shown(r.seconds.mean)} s, ` : ""}peak ${shown(r.peak_allocated_gib)} GiB`), hoverinfo: "text", textposition: rows.map((row) => (below.has(row) ? "bottom center" : "top center")), cliponaxis: false,
    error_y: { type: "data", symmetric: false, thickness: 1, color: "#888a", array: rows.map((r) => (r[objective].high ?? r[objective].mean) - r[objective].mean), arrayminus: rows.map((r) => r[objective].mean - (r[objective].low ?? r[objective].mean)) },
    marker: { size: 13, symbol, color: symbol === "star" ? css("--accent") : "#8a929e" },
  });
  const fig = layout(against, plain(objective));
  fig.xaxis.range = [0, Math.max(...rows.map(costOf)) * (innerWidth < 720 ? 1.35 : 1.15)];
  Plotly.react("pareto", [trace(rows.filter((r) => r.pareto), "on the Pareto front of quality, VRAM and seconds", "star"), trace(rows.filter((r) => !r.pareto), "beaten by another", "circle")], fig, options);
}
function costs() {
  const rows = DATA.costs.settings.filter((row) => row.ok).slice(0, 40).reverse();
  const names = rows.map((row) => plain(Object.values(row.axes).join(" ") || "all runs"));
  const stages = DATA.stages.filter((stage) => stage !== "load");
  const traces = stages.map((stage) => ({ type: "bar", orientation: "h", name: stage, y: names, x: rows.map((row) => row.stages[stage]?.seconds ?? 0), hovertemplate: `${plain(stage)} %{x:.2f} s<extra></extra>` }));
  const height = 130 + 30 * rows.length;
  byId("cost-plot").style.height = `${height}px`; // else a window that changes its size cuts the plot off
  Plotly.react("cost-plot", traces, layout("seconds a run", "", { barmode: "stack", bargap: 0.35, height, legend: { orientation: "h", y: 1, yanchor: "bottom", traceorder: "normal", font: { size: 11 } }, margin: { l: 64, r: 20, t: 40, b: 52 } }), options);
}
const CURVES = 24;
// At most `count` runs: the first of each setting, then the second of each, and so on.
function spread(rows, count) {
  const turns = {};
  const turn = new Map(rows.map((run) => [run, (turns[named(run)] = (turns[named(run)] ?? -1) + 1)]));
  const chosen = new Set([...rows].sort((a, b) => turn.get(a) - turn.get(b)).slice(0, count));
  return rows.filter((run) => chosen.has(run));
}
function curves(rows) {
  const metric = byId("curve-metric").value;
  const shown = spread(rows.filter((run) => run.per_frame[metric]), CURVES);
  const settings = [...new Set(shown.map(named))]; // one colour a setting, one line a run
  const traces = shown.map((run, index) => ({
    type: "scatter", mode: "lines", connectgaps: false, y: run.per_frame[metric], line: { width: 1.6, color: PALETTE[settings.indexOf(named(run)) % PALETTE.length] },
    legendgroup: named(run), name: plain(named(run) || "all runs"), showlegend: shown.findIndex((other) => named(other) === named(run)) === index,
    hovertemplate: `${plain([named(run), run.prompt, `seed ${run.seed}`].join(" "))}<br>frame %{x}: %{y}<extra></extra>`,
  }));
  Plotly.react("curves", traces, { ...layout("frame", plain(metric)), showlegend: settings.length <= 12 }, options);
}
const metrics = [...new Set(DATA.runs.flatMap((run) => Object.keys(run.per_frame)))].sort();
if (!DATA.choice) byId("pareto").replaceChildren(el("p", { class: "dim", style: "padding:0 12px" }, "No settings were compared."));
else {
  const known = Object.keys(COSTS).filter((name) => DATA.choice.table.some((row) => COSTS[name](row) !== null && COSTS[name](row) !== undefined));
  against = known[0] || against;
  byId("pareto-controls").append(select("against", known, against, (value) => { against = value; pareto(); }));
}
if (metrics.length) {
  const first = metrics.find((name) => DATA.choice && name.endsWith(`/${DATA.choice.bare}`)) || metrics[0];
  byId("curve-metric").append(...metrics.map((name) => el("option", { value: name, selected: name === first }, name)));
  byId("curve-metric").addEventListener("change", () => curves(filtered()));
  listeners.push((rows) => { if (seen.has("curves")) curves(rows); });
} else byId("curves").replaceChildren(el("p", { class: "dim", style: "padding:0 12px" }, "No curves were recorded."));
// A plot is drawn when it first comes into view: the page opens without waiting for it.
const drawing = new Map([
  ["pareto", DATA.choice && pareto],
  ["cost-plot", DATA.costs.settings.some((row) => row.ok) && costs],
  ["curves", metrics.length && (() => curves(filtered()))],
].filter(([, draw]) => draw));
if (!drawing.has("cost-plot")) byId("cost-plot").remove();
const seen = new Set();
const onView = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) if (isIntersecting && !seen.has(target.id)) { seen.add(target.id); drawing.get(target.id)(); }
}, { rootMargin: "300px" });
for (const id of drawing.keys()) onView.observe(byId(id));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => seen.forEach((id) => drawing.get(id)()));
