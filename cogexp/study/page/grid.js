"use strict";
// A grid of videos over up to three dimensions. Clips load when they come into view and are let go after it.
const SIDES = ["delivered", "native"];
const AT_ONCE = 48; // a browser has about 75 players a page
const dims = [...DATA.axes, "prompt", "seed"].filter((name) => distinct(name).length > 1);
const choices = [...dims, ...(DATA.runs.some((run) => run.upscaled) ? ["clip"] : [])];
const asked = DATA.grid;
const grid = { block: "none", fixed: { ...asked.fixed } };
grid.column = asked.column || DATA.axes.find((name) => dims.includes(name)) || choices[0] || "seed";
grid.row = asked.row || choices.find((name) => name !== grid.column) || "none";
const valuesOf = (name) => (name === "none" ? [""] : name === "clip" ? SIDES : distinct(name));
const fileOf = (run, side) => (side === "native" ? run.native : run.upscaled || run.native);
const visible = new Set();
const playable = () => [...visible].filter((video) => video.hasAttribute("src"));
const finest = (runs) => Math.max(1, ...runs.map((run) => run.fps || 8));
const all = conductor(playable, { play: "play", back: "back", on: "on", seek: "seek" }, "Play all", () => finest(DATA.runs));

// The page is there first, with posters; clips come after it.
addEventListener("load", () => visible.forEach(load));
function load(video) {
  if (document.readyState !== "complete" || video.hasAttribute("src") || playable().length >= AT_ONCE) return;
  video.src = source(video.dataset.src);
}
function unload(video) {
  visible.delete(video);
  if (!video.hasAttribute("src")) return;
  video.pause();
  video.removeAttribute("src");
  video.load(); // gives the player back; the poster stays
}
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) if (!isIntersecting) unload(target);
  for (const { target, isIntersecting } of entries) if (isIntersecting) visible.add(target);
  visible.forEach(load);
}, { rootMargin: "60px" });

function cell(run, side) {
  const file = run && fileOf(run, side);
  if (!file) {
    const why = !run ? "not run" : run.status === "ok" ? "its clip is gone" : `${run.status}: ${run.error || "no clip"}`;
    return el("figure", { class: run ? "none bad" : "none", title: why }, el("div", {}, why));
  }
  const video = el("video", { preload: "auto", playsinline: true, "data-src": file, poster: run.poster, style: `aspect-ratio:${run.size[0]}/${run.size[1]}` });
  video.muted = true;
  video.addEventListener("loadedmetadata", () => all.joined(video));
  video.addEventListener("error", () => { if (video.hasAttribute("src")) figure.title = `cannot play ${file}: this page links to its clips, and they are not there`; });
  const caption = el("figcaption", {});
  const objective = DATA.choice && delivered(run, DATA.choice.bare);
  if (objective !== null && objective !== undefined) caption.append(`${DATA.choice.bare} `, el("b", {}, score(side === "native" ? run.scores[`native/${DATA.choice.bare}`] : objective)), " ");
  caption.append([run.seconds === null ? "" : `${cost(run.seconds)} s`, run.peak === null ? "" : `${cost(run.peak)} GiB`].filter(Boolean).join(" · "));
  if (run.level && run.level !== "none") caption.append(" ", el("span", { class: run.level }, run.found));
  const open = () => compare(run, side);
  const alone = () => { if (!all.state.playing) { video.loop = true; load(video); video.play().catch(() => {}); } };
  const back = () => { video.loop = false; if (!all.state.playing) { video.pause(); all.joined(video); } };
  const figure = el("figure", { tabindex: 0, role: "button", "aria-label": `enlarge ${run.id}`, title: `${run.prompt}, seed ${run.seed}: ${run.text}`, onclick: open, onmouseenter: alone, onmouseleave: back,
    onkeydown: (event) => { if (event.key === "Enter") open(); } }, video, caption);
  watcher.observe(video);
  return figure;
}
function head(name, value, kind = "") {
  return el("div", { class: `head ${kind}`, title: value }, ...(name === "none" ? [] : [el("span", { class: "dim" }, name), el("span", { class: "v" }, value)]));
}
function board(block) {
  const [rows, columns] = [valuesOf(grid.row), valuesOf(grid.column)];
  const node = el("div", { class: "board", style: `--n:${columns.length}` }, el("div", { class: "corner" }), ...columns.map((value) => head(grid.column, value)));
  for (const row of rows) {
    node.append(head(grid.row, row, "row"));
    for (const column of columns) {
      const wanted = { ...grid.fixed, [grid.row]: row, [grid.column]: column, ...block };
      const run = DATA.runs.find((r) => dims.every((name) => wanted[name] === undefined || String(dimension(r, name)) === wanted[name]));
      node.append(cell(run, wanted.clip || "delivered"));
    }
  }
  return el("div", { class: columns.length > 8 || (columns.length > 2 && innerWidth <= 720) ? "slides" : "fits" }, node);
}
// What is not spread over the grid: the leader's value of an axis, the first of the prompts and seeds.
function settle() {
  const leader = DATA.choice ? DATA.choice.table[0] : {};
  for (const name of choices) {
    if ([grid.row, grid.column, grid.block].includes(name)) delete grid.fixed[name];
    else if (!(name in grid.fixed)) grid.fixed[name] = name in leader && DATA.axes.includes(name) ? String(leader[name]) : valuesOf(name)[0];
  }
}
function drawGrid() {
  watcher.disconnect();
  visible.forEach(unload);
  settle();
  const set = (key) => (value) => {
    for (const other of ["row", "column", "block"]) if (other !== key && grid[other] === value && value !== "none") grid[other] = grid[key];
    grid[key] = value;
    drawGrid();
  };
  byId("grid-controls").replaceChildren(
    select("columns", [...choices, "none"], grid.column, set("column")), select("rows", [...choices, "none"], grid.row, set("row")), select("blocks", ["none", ...choices], grid.block, set("block")),
    ...Object.keys(grid.fixed).map((name) => select(name, valuesOf(name), grid.fixed[name], (value) => { grid.fixed[name] = value; drawGrid(); })));
  const blocks = grid.block === "none" ? [{}] : valuesOf(grid.block).map((value) => ({ [grid.block]: value }));
  byId("grid-cells").replaceChildren(...blocks.flatMap((block) =>
    [...(grid.block === "none" ? [] : [el("h3", {}, `${grid.block} ${block[grid.block]}`)]), board(block)]));
}
byId("speed").addEventListener("change", (event) => all.speed(Number(event.target.value)));
