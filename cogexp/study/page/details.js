"use strict";
// Everything about one run; costs by setting; what the detectors found.
function table(columns, rows) {
  return el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, ...columns.map((name, i) => el("th", { class: i ? "num" : "" }, name)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((value, i) => el("td", { class: i ? "num" : "" }, shown(value))))))));
}
function details(run) {
  const metrics = [...new Set([...Object.keys(run.scores), ...Object.keys(run.skipped)].map((key) => key.split("/")[1] || key))];
  const sides = run.upscaled || run.delivered === "upscaled" ? ["native", "upscaled"] : ["native"];
  const links = [["native.mp4", run.native], ["upscaled.mp4", run.upscaled], ["contact sheet", run.sheet], ["record.json", run.record], ["log.txt", run.log]].filter(([, file]) => file);
  const skipped = Object.entries(run.skipped);
  byId("details-title").textContent = run.id;
  byId("details-body").replaceChildren(
    el("div", {}, el("div", {}, `${run.prompt}, seed ${run.seed}: ${run.text}`), el("div", { class: "dim" }, ...links.flatMap(([name, file]) => [el("a", { href: source(file), target: "_blank", rel: "noopener" }, name), "  "]), run.started)),
    ...(run.error ? [el("pre", { class: "suspect" }, `${run.status}: ${run.error}`)] : []),
    el("div", {}, el("b", {}, "Repeat this run "), copy(run.command), el("pre", {}, run.command)),
    el("div", { class: "pairs" },
      ...(metrics.length ? [table(["metric", ...sides], metrics.map((name) => [name, ...sides.map((side) => score(run.scores[`${side}/${name}`]))]))] : []),
      table(["stage", "seconds", "peak GiB", "from the store"], Object.entries(run.stages).map(([name, spent]) => [name, cost(spent.seconds), cost(spent.peak), spent.cached ? "yes" : ""]))),
    ...(run.tear ? [el("figure", {}, el("img", { src: source(run.tear), loading: "lazy", alt: "what was found" }), el("figcaption", {}, el("span", { class: run.level || "" }, run.found || ""), run.cause ? `, made by the ${run.cause}` : ""))] : []),
    ...(skipped.length ? [el("details", {}, el("summary", {}, `${skipped.length} skipped`), el("ul", { class: "list dim" }, ...skipped.map(([key, why]) => el("li", {}, `${key}: ${why}`))))] : []),
    ...(run.config ? [el("details", {}, el("summary", {}, "config.yaml, for a machine that has not this run's folder"), copy(run.config), el("pre", {}, run.config))] : []),
    el("details", {}, el("summary", {}, "machine, versions, commit, automatic choices"), el("pre", {}, JSON.stringify(DATA.shared[run.shared], null, 2))));
  byId("details").showModal();
}

function costsTable() {
  const stages = DATA.stages;
  const total = (row) => Object.entries(row.stages).reduce((sum, [name, cost]) => sum + (name === "load" ? 0 : cost.seconds || 0), 0);
  const peak = (row) => { const known = Object.values(row.stages).map((cost) => cost.peak).filter((value) => value !== null); return known.length ? Math.max(...known) : null; };
  sortable(byId("costs-table"), [
    ...DATA.axes.map((axis) => ({ name: axis, get: (row) => row.axes[axis] })),
    { name: "runs", get: (row) => row.runs, show: (row) => (row.ok === row.runs ? row.runs : `${row.runs}, ${row.ok} ok`) },
    ...stages.map((stage) => figures(`${stage} s`, (row) => row.stages[stage]?.seconds)),
    figures("all but load s", (row) => (row.ok ? total(row) : null)),
    ...(DATA.costs.settings.some((row) => peak(row) !== null) ? stages.map((stage) => figures(`${stage} GiB`, (row) => row.stages[stage]?.peak)) : []),
    ...(DATA.costs.settings.some((row) => peak(row) !== null) ? [figures("peak GiB", peak)] : []),
  ], { column: null, descending: false })(DATA.costs.settings);
}

const SEVERITY = { certain: 0, suspect: 1 };
function artifacts() {
  const byName = new Map();
  for (const run of DATA.runs) if (run.level) {
    const key = named(run) || "all runs";
    if (!byName.has(key)) byName.set(key, { run, certain: 0, suspect: 0, none: 0 });
    byName.get(key)[run.level] += 1;
  }
  if (byName.size) sortable(byId("levels-table"), [
    ...DATA.axes.map((axis) => ({ name: axis, get: (row) => row.run.axes[axis] })),
    ...["certain", "suspect", "none"].map((level) => ({ name: level === "none" ? "nothing found" : level, get: (row) => row[level], show: (row) => el("span", { class: row[level] ? level : "dim" }, row[level]) })),
  ], { column: null, descending: false })([...byName.values()]);
  else byId("levels-table").parentNode.remove();
  const found = DATA.runs.filter((run) => run.level && run.level !== "none").sort((x, y) => SEVERITY[x.level] - SEVERITY[y.level]);
  const list = byId("artifact-list");
  let drawn = 0;
  const more = () => {
    list.append(...found.slice(drawn, drawn + 12).map((run) => el("figure", { tabindex: 0, role: "button", onclick: () => details(run), onkeydown: (event) => { if (event.key === "Enter") details(run); } },
      ...(run.tear ? [el("img", { src: source(run.tear), loading: "lazy", alt: `what was found in ${run.id}` })] : run.poster ? [el("img", { src: run.poster, alt: "" })] : []),
      el("figcaption", {}, el("b", { class: run.level }, run.found), ` ${named(run)} · ${run.prompt}, seed ${run.seed}${run.cause ? ` · made by the ${run.cause}` : ""}`))));
    drawn = Math.min(found.length, drawn + 12);
    byId("more-artifacts").hidden = drawn >= found.length;
    byId("more-artifacts").textContent = `Show more (${drawn} of ${found.length} shown)`;
  };
  byId("more-artifacts").addEventListener("click", more);
  if (found.length) more();
  else list.replaceChildren(el("p", { class: "dim" }, byName.size ? "Nothing was found in any clip." : "No clip was looked at by the detectors."));
}
if (DATA.choice) settingsTable(); else byId("settings-table").parentNode.remove();
runsTable();
costsTable();
artifacts();
drawGrid();
