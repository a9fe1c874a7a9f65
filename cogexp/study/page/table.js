"use strict";
// All text goes in as text nodes: a prompt with markup in it stays text.
const DATA = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") node.className = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.map((child) => (child instanceof Node ? child : document.createTextNode(String(child)))));
  return node;
}
const shown = (value) =>
  value === null || value === undefined ? "-"
    : typeof value === "number" && !Number.isInteger(value) ? (Math.abs(value) >= 1 ? value.toFixed(2) : value.toFixed(4))
    : String(value);
const estimate = (e) => e.low === null ? shown(e.mean) : `${shown(e.mean)} [${shown(e.low)}, ${shown(e.high)}]`;

// A table whose heads sort. columns: {name, get(row), show?(row) -> text or node, wide?}
function sortable(table, columns, state, rowClass = () => "") {
  function order(a, b) {
    const column = columns[state.column];
    const [x, y] = [column.get(a), column.get(b)];
    if (x === null || x === undefined) return y === null || y === undefined ? 0 : 1;
    if (y === null || y === undefined) return -1;
    const sign = state.descending ? -1 : 1;
    return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true }));
  }
  function draw(rows) {
    const sorted = state.column === null ? rows : [...rows].sort(order);
    const numeric = columns.map((column) => rows.some((row) => typeof column.get(row) === "number"));
    const head = el("tr", {}, ...columns.map((column, index) => {
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
      el("td", { class: column.wide ? "wide" : numeric[index] ? "num" : "" }, column.show ? column.show(row) : shown(column.get(row))))));
    table.replaceChildren(el("thead", {}, head), el("tbody", {}, ...body));
  }
  return draw;
}

function settingsTable() {
  const { table, objective, metrics } = DATA.choice;
  const columns = [
    { name: "", get: (row) => row.mark },
    ...DATA.axes.map((axis) => ({ name: axis, get: (row) => row[axis] })),
    ...metrics.map((name) => ({
      name, get: (row) => (row[name] ? row[name].mean : null),
      show: (row) => (!row[name] ? "-" : name === objective ? estimate(row[name]) : shown(row[name].mean)),
    })),
    { name: "peak GiB", get: (row) => row.peak_allocated_gib },
    { name: "behind by", get: (row) => (row.behind ? row.behind.mean : null), show: (row) => (row.behind ? estimate(row.behind) : "") },
    { name: "Pareto", get: (row) => (row.pareto ? "yes" : "") },
  ];
  sortable(byId("settings-table"), columns, { column: null, descending: false }, (row) => (row.mark === "best" || row.mark === "leads" ? "best" : ""))(table);
}

const filter = { text: "", values: {} };
const listeners = []; // told when the filter changes
function filtered() {
  const wanted = filter.text.toLowerCase();
  return DATA.runs.filter((run) =>
    Object.entries(filter.values).every(([name, value]) => value === "" || String(DATA.dimension(run, name)) === value) &&
    (!wanted || [run.id, run.prompt, run.text, run.status, run.error || ""].some((text) => text.toLowerCase().includes(wanted))));
}
DATA.dimension = (run, name) => (name in run.axes ? run.axes[name] : run[name]);
function distinct(name) {
  const values = [...new Set(DATA.runs.map((run) => String(DATA.dimension(run, name))))];
  return values.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
}
function select(label, values, value, onchange) {
  const node = el("select", { "aria-label": label }, ...values.map((v) => el("option", { value: v, selected: v === value }, v === "" ? "all" : v)));
  node.addEventListener("change", () => onchange(node.value));
  return el("label", {}, label + " ", node);
}
function copy(text) {
  const button = el("button", { type: "button", title: text }, "Copy");
  button.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; }
    catch { window.prompt("The command", text); }
  });
  return button;
}
function runsTable() {
  const scores = [...new Set(DATA.runs.flatMap((run) => Object.keys(run.scores)))];
  const columns = [
    { name: "status", get: (run) => run.status },
    ...DATA.axes.map((axis) => ({ name: axis, get: (run) => run.axes[axis] })),
    { name: "prompt", get: (run) => run.prompt, show: (run) => `${run.prompt}: ${run.text}`, wide: true },
    { name: "seed", get: (run) => run.seed },
    ...scores.map((name) => ({ name, get: (run) => run.scores[name] })),
    { name: "artifacts", get: (run) => run.found },
    { name: "seconds", get: (run) => run.seconds },
    ...DATA.stages.map((stage) => ({ name: `${stage} s`, get: (run) => run.stages[stage] })),
    { name: "peak GiB", get: (run) => run.peak },
    { name: "repeat", get: () => null, show: (run) => copy(run.command) },
    { name: "error", get: (run) => run.error, wide: true },
  ];
  const draw = sortable(byId("runs-table"), columns, { column: null, descending: false }, (run) => (run.status === "ok" ? "" : "bad"));
  const redraw = () => {
    const rows = filtered();
    byId("count").textContent = `${rows.length} of ${DATA.runs.length} runs`;
    draw(rows);
    listeners.forEach((listener) => listener(rows));
  };
  const search = el("input", { type: "search", placeholder: "search", "aria-label": "search" });
  search.addEventListener("input", () => { filter.text = search.value; redraw(); });
  byId("filters").append(search, ...["status", ...DATA.axes, "prompt", "seed"].filter((name) => distinct(name).length > 1)
    .map((name) => select(name, ["", ...distinct(name)], "", (value) => { filter.values[name] = value; redraw(); })));
  redraw();
}
function artifacts() {
  const found = DATA.runs.filter((run) => run.found && run.found !== "none");
  byId("artifact-list").append(...(found.length ? found.slice(0, 60).map((run) => el("figure", {},
    ...(run.tear ? [el("img", { src: run.tear, loading: "lazy", alt: `what was found in ${run.id}` })] : []),
    el("figcaption", {}, `${run.found}: ${run.id}`))) : [el("p", { class: "dim" }, "Nothing was found in any clip.")]));
}
if (DATA.choice) settingsTable();
runsTable();
artifacts();
