"use strict";
// A grid of videos over up to three dimensions, in step; enlarged, two of them under one slider.
const SIDES = ["delivered", "native"];
const dims = [...DATA.axes, "prompt", "seed"].filter((name) => distinct(name).length > 1);
const choices = [...dims, "clip"];
const grid = { block: "none", row: dims.includes("prompt") ? "prompt" : dims[0] || "clip", column: "clip", fixed: {} };
grid.column = choices.find((name) => name !== grid.row) || "clip";
const valuesOf = (name) => (name === "clip" ? SIDES : distinct(name));
const fileOf = (run, side) => (side === "native" ? run.native : run.upscaled || run.native);
let playing = false;
const active = new Set();

const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) {
      if (!target.src) target.src = target.dataset.src;
      active.add(target);
      if (playing) target.play().catch(() => {});
    } else { active.delete(target); target.pause(); }
  }
}, { rootMargin: "200px" });

function cell(run, side) {
  const file = run && fileOf(run, side);
  if (!file) return el("figure", {}, el("div", { class: "none" }, run ? `${run.status}: ${run.error || "no clip"}` : "not run"));
  const video = el("video", { preload: "metadata", playsinline: true, loop: true, "data-src": file, title: run.id });
  video.muted = true;
  watcher.observe(video);
  const scores = DATA.choice ? Object.entries(run.scores).filter(([name]) => name.endsWith("/" + DATA.choice.bare)).map(([name, value]) => `${name} ${shown(value)}`) : [];
  const caption = [...scores, run.found && run.found !== "none" ? run.found : ""].filter(Boolean).join(" · ");
  const open = () => enlarge(run, side);
  return el("figure", { tabindex: 0, role: "button", onclick: open, onkeydown: (e) => { if (e.key === "Enter") open(); } }, video, el("figcaption", {}, caption || run.id));
}
function board(block) {
  const [rows, columns] = [valuesOf(grid.row), grid.column === "none" ? [""] : valuesOf(grid.column)];
  const node = el("div", { class: "board", style: `grid-template-columns: minmax(84px, 140px) repeat(${columns.length}, minmax(150px, 460px))` });
  node.append(el("div"), ...columns.map((value) => el("div", { class: "head" }, `${grid.column}=${value}`)));
  for (const row of rows) {
    node.append(el("div", { class: "head" }, `${grid.row}=${row}`));
    for (const column of columns) {
      const wanted = { ...grid.fixed, [grid.row]: row, [grid.column]: column, ...block };
      const run = DATA.runs.find((r) => dims.every((name) => wanted[name] === undefined || String(DATA.dimension(r, name)) === wanted[name]));
      node.append(cell(run, wanted.clip || "delivered"));
    }
  }
  return node;
}
function drawGrid() {
  watcher.disconnect();
  active.clear();
  for (const name of choices) {
    if ([grid.row, grid.column, grid.block].includes(name)) delete grid.fixed[name];
    else if (!(name in grid.fixed)) grid.fixed[name] = valuesOf(name)[0];
  }
  const set = (key) => (value) => {
    for (const other of ["row", "column", "block"]) if (other !== key && grid[other] === value && value !== "none") grid[other] = grid[key];
    grid[key] = value;
    drawGrid();
  };
  byId("grid-controls").replaceChildren(
    select("rows", choices, grid.row, set("row")), select("columns", choices, grid.column, set("column")), select("blocks", ["none", ...choices], grid.block, set("block")),
    ...Object.keys(grid.fixed).map((name) => select(name, valuesOf(name), grid.fixed[name], (value) => { grid.fixed[name] = value; drawGrid(); })));
  const blocks = grid.block === "none" ? [{}] : valuesOf(grid.block).map((value) => ({ [grid.block]: value }));
  byId("grid-cells").replaceChildren(...blocks.flatMap((block) =>
    [...(grid.block === "none" ? [] : [el("h3", {}, `${grid.block}=${block[grid.block]}`)]), board(block)]));
}

// In step: the first visible clip leads, the others are put where it is.
function inStep(videos) {
  const [leader, ...others] = videos.filter((video) => video.readyState >= 2 && video.duration);
  if (!leader) return;
  for (const video of others) {
    const apart = Math.abs(video.currentTime - leader.currentTime);
    if (Math.min(apart, leader.duration - apart) > 0.08) video.currentTime = Math.min(leader.currentTime, video.duration);
  }
  if (playing) byId("seek").value = (1000 * leader.currentTime) / leader.duration;
}
setInterval(() => inStep([...active]), 250);
byId("play").addEventListener("click", () => {
  playing = !playing;
  byId("play").textContent = playing ? "Pause" : "Play";
  for (const video of active) playing ? video.play().catch(() => {}) : video.pause();
});
byId("seek").addEventListener("input", (event) => {
  for (const video of active) if (video.duration) video.currentTime = (event.target.value / 1000) * video.duration;
});
byId("speed").addEventListener("change", (event) => document.querySelectorAll("video").forEach((v) => { v.playbackRate = v.defaultPlaybackRate = Number(event.target.value); }));

const [a, b, split] = [byId("a"), byId("b"), byId("split")];
const clips = DATA.runs.flatMap((run) => SIDES.filter((side) => run[side === "native" ? "native" : "upscaled"])
  .map((side) => ({ run, side, label: `${run.id} ${side === "native" ? "native" : "upscaled"}`, file: fileOf(run, side) })));
function show(video, index) { if (clips[index]) { video.src = clips[index].file; video.play().catch(() => {}); } }
function slide() {
  b.style.clipPath = `inset(0 0 0 ${split.value}%)`;
  byId("bar").style.left = `${split.value}%`;
}
function enlarge(run, side) {
  const own = clips.findIndex((clip) => clip.run === run && clip.file === fileOf(run, side));
  const other = clips.findIndex((clip, i) => i !== own && clip.run.prompt === run.prompt && clip.run.seed === run.seed);
  for (const [id, video, index] of [["pick-a", a, own], ["pick-b", b, other < 0 ? own : other]]) {
    byId(id).replaceChildren(...clips.map((clip, i) => el("option", { value: i, selected: i === index }, clip.label)));
    byId(id).onchange = (event) => show(video, Number(event.target.value));
    show(video, index);
  }
  byId("large-title").textContent = `${run.prompt}: ${run.text}`;
  slide();
  byId("large").showModal();
}
split.addEventListener("input", slide);
setInterval(() => { if (byId("large").open) inStep([a, b]); }, 200);
byId("large").addEventListener("close", () => { for (const video of [a, b]) { video.pause(); video.removeAttribute("src"); video.load(); } });
drawGrid();
