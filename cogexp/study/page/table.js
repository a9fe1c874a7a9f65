"use strict";
// Tables that sort and filter. All text goes in as text nodes: a prompt with markup in it stays text.
const DATA = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") node.className = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.map((child) => (child instanceof Node ? child : document.createTextNode(String(child)))));
  return node;
}
const shown = (value) =>
  value === null || value === undefined ? "-"
    : typeof value === "number" && !Number.isInteger(value) ? (Math.abs(value) >= 1 ? value.toFixed(2) : value.toFixed(4))
    : String(value);
// Enough decimals to tell the ends of an interval apart.
function estimate(e) {
  if (e.low === null) return shown(e.mean);
  const places = e.high > e.low ? Math.min(5, Math.max(2, 1 - Math.floor(Math.log10(e.high - e.low)))) : 4;
  return `${e.mean.toFixed(places)} [${e.low.toFixed(places)}, ${e.high.toFixed(places)}]`;
}
const score = (value) => (typeof value === "number" ? (Math.abs(value) >= 1 ? value.toFixed(2) : value.toFixed(4)) : "-");
const cost = (value) => (typeof value === "number" ? value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2) : "-");
// A column of scores, of seconds or GiB: numbers that line up.
const scores = (name, get) => ({ name, get, show: (row) => score(get(row)) });
const figures = (name, get) => ({ name, get, show: (row) => cost(get(row)) });
const collator = new Intl.Collator("en", { numeric: true });
const PLAIN = new Set(["none", "false", "null"]); // without something comes before with it
const inOrder = (a, b) => PLAIN.has(b) - PLAIN.has(a) || collator.compare(a, b);

// A table whose heads sort. columns: {name, get(row), show?(row) -> text or node, wide?}
function sortable(table, columns, state, rowClass = () => "") {
  function order(a, b) {
    const column = columns[state.column];
    const [x, y] = [column.get(a), column.get(b)];
    if (x === null || x === undefined) return y === null || y === undefined ? 0 : 1;
    if (y === null || y === undefined) return -1;
    const sign = state.descending ? -1 : 1;
    return sign * (typeof x === "number" && typeof y === "number" ? x - y : collator.compare(String(x), String(y)));
  }
  function draw(rows) {
    const sorted = state.column === null ? rows : [...rows].sort(order);
    const numeric = columns.map((column) => rows.some((row) => typeof column.get(row) === "number"));
    const head = el("tr", {}, ...columns.map((column, index) => {
      if (column.fixed) return el("th", {}, column.name);
      const mark = state.column === index ? (state.descending ? " ↓" : " ↑") : "";
      const sort = () => {
        state.descending = state.column === index ? !state.descending : numeric[index];
        state.column = index;
        draw(rows);
      };
      const aria = state.column === index ? (state.descending ? "descending" : "ascending") : "none";
      return el("th", { class: numeric[index] ? "num" : "", "aria-sort": aria }, el("button", { type: "button", onclick: sort }, column.name + mark));
    }));
    const body = sorted.map((row) => el("tr", { class: rowClass(row) }, ...columns.map((column, index) =>
      el("td", { class: column.wide ? "wide clamp" : numeric[index] ? "num" : "" }, column.wide ? el("span", { title: column.show(row) }, column.show(row)) : column.show ? column.show(row) : shown(column.get(row))))));
    table.replaceChildren(el("thead", {}, head), el("tbody", {}, ...body));
  }
  return draw;
}

function settingsTable() {
  const { table, objective, metrics } = DATA.choice;
  const columns = [
    { name: "", get: (row) => row.mark, show: (row) => (row.mark ? el("span", { class: `mark ${row.mark}` }, row.mark) : "") },
    ...DATA.axes.map((axis) => ({ name: axis, get: (row) => row[axis] })),
    ...metrics.map((name) => ({
      name, get: (row) => (row[name] ? row[name].mean : null),
      show: (row) => (!row[name] ? "-" : name === objective ? estimate(row[name]) : (name === "seconds" ? cost : score)(row[name].mean)),
    })),
    ...(table.some((row) => measured(row.peak_allocated_gib)) ? [figures("peak GiB", (row) => row.peak_allocated_gib)] : []),
    { name: "behind by", get: (row) => (row.behind ? row.behind.mean : null), show: (row) => (row.behind ? estimate(row.behind) : "") },
    { name: "Pareto", get: (row) => (row.pareto ? "yes" : ""), show: (row) => (row.pareto ? "yes" : "") },
  ];
  sortable(byId("settings-table"), columns, { column: null, descending: false }, (row) => (row.mark === "best" || row.mark === "leads" ? "best" : ""))(table);
}

const measured = (value) => value !== null && value !== undefined;
const dimension = (run, name) => (name in run.axes ? run.axes[name] : run[name]);
const known = {}; // the values of a dimension, in order
function distinct(name) {
  known[name] ??= [...new Set(DATA.runs.map((run) => String(dimension(run, name))))].sort(inOrder);
  return known[name];
}
const delivered = (run, metric) => run.scores[`${run.delivered}/${metric}`];
const named = (run) => DATA.axes.map((axis) => run.axes[axis]).join(" · ");

const filter = { text: "", values: {} };
const listeners = []; // told when the filter changes
const COMPARED = { "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b, "=": (a, b) => a === b };
function numberOf(run, name) {
  const value = { seconds: run.seconds, peak: run.peak }[name] ?? run.scores[name] ?? delivered(run, name) ?? dimension(run, name);
  return value === null || value === undefined || value === "" ? NaN : Number(value);
}
// A word such as clip_score>27 is a condition, every other word is looked for in the run's texts.
function matches(run, word) {
  const condition = /^([\w/.]+)(<=|>=|<|>|=)(-?[\d.]+)$/.exec(word);
  if (condition) return COMPARED[condition[2]](numberOf(run, condition[1]), Number(condition[3]));
  return [run.id, run.prompt, run.text, run.status, run.error || "", run.found || ""].some((text) => text.toLowerCase().includes(word));
}
function filtered() {
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  return DATA.runs.filter((run) =>
    Object.entries(filter.values).every(([name, value]) => value === "" || String(dimension(run, name)) === value) && words.every((word) => matches(run, word)));
}
function select(label, values, value, onchange) {
  const node = el("select", { "aria-label": label }, ...values.map((v) => el("option", { value: v, selected: v === value }, v === "" ? "all" : v)));
  node.addEventListener("change", () => onchange(node.value));
  return el("label", {}, label + " ", node);
}
function copy(text, label = "Copy") {
  const button = el("button", { type: "button", title: text }, label);
  button.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; }
    catch { window.prompt("Copy this", text); }
  });
  return button;
}
function runsTable() {
  const exact = [...new Set(DATA.runs.flatMap((run) => Object.keys(run.scores)))].filter((key) => DATA.runs.some((run) => measured(run.scores[key]))); // nothing measured: no column
  const metrics = [...new Set(exact.map((key) => key.split("/")[1]))];
  exact.sort();
  const groups = { scores: true, "native and upscaled": false, stages: false };
  const state = { column: null, descending: false };
  const columns = () => [
    { name: "", fixed: true, get: () => null, show: (run) => el("button", { type: "button", class: "open", title: `details of ${run.id}`, onclick: () => details(run) }, run.poster ? el("img", { src: run.poster, alt: "", loading: "lazy" }) : "Details") },
    { name: "status", get: (run) => run.status },
    ...DATA.axes.map((axis) => ({ name: axis, get: (run) => run.axes[axis] })),
    { name: "prompt", get: (run) => run.prompt, show: (run) => `${run.prompt}: ${run.text}`, wide: true },
    { name: "seed", get: (run) => run.seed },
    ...(groups.scores ? metrics.map((name) => scores(name, (run) => delivered(run, name))) : []),
    ...(groups["native and upscaled"] ? exact.map((name) => scores(name, (run) => run.scores[name])) : []),
    { name: "artifacts", get: (run) => run.found, show: (run) => el("span", { class: run.level || "" }, shown(run.found)) },
    figures("seconds", (run) => run.seconds),
    ...(groups.stages ? DATA.stages.map((stage) => figures(`${stage} s`, (run) => run.stages[stage]?.seconds)) : []),
    ...(DATA.runs.some((run) => measured(run.peak)) ? [figures("peak GiB", (run) => run.peak)] : []),
    { name: "repeat", fixed: true, get: () => null, show: (run) => copy(run.command) },
    ...(DATA.runs.some((run) => run.error) ? [{ name: "error", get: (run) => run.error, show: (run) => run.error || "", wide: true }] : []),
  ];
  let draw;
  const redraw = () => {
    const rows = filtered();
    byId("count").textContent = `${rows.length} of ${DATA.runs.length} runs`;
    draw(rows);
    listeners.forEach((listener) => listener(rows));
  };
  const rebuild = () => {
    Object.assign(state, { column: null, descending: false });
    draw = sortable(byId("runs-table"), columns(), state, (run) => (run.status === "ok" ? "" : "bad"));
    redraw();
  };
  const search = el("input", { type: "search", placeholder: "words, or clip_score>27 seconds<60", "aria-label": "search" });
  search.addEventListener("input", () => { filter.text = search.value; redraw(); });
  byId("filters").append(search, ...["status", ...DATA.axes, "prompt", "seed", "level"].filter((name) => distinct(name).length > 1)
    .map((name) => select(name, ["", ...distinct(name)], "", (value) => { filter.values[name] = value; redraw(); })),
  ...Object.keys(groups).map((name) => el("label", {}, el("input", { type: "checkbox", checked: groups[name], onchange: (event) => { groups[name] = event.target.checked; rebuild(); } }), ` ${name}`)));
  rebuild();
}
