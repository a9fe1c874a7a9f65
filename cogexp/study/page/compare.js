"use strict";
// Two clips of one prompt and seed under one slider: two settings, or native against upscaled.
const [a, b, stage] = [byId("a"), byId("b"), byId("stage")];
const pair = { clips: [], a: 0, b: 0, split: 50 };
const two = conductor(() => [a, b].filter((video) => video.hasAttribute("src")), { play: "large-play", back: "large-back", on: "large-on", seek: "large-seek" }, "Play",
  () => finest([pair.clips[pair.a], pair.clips[pair.b]].filter(Boolean).map((clip) => clip.run)));
for (const video of [a, b]) video.addEventListener("loadedmetadata", () => two.joined(video));

function show() {
  for (const [key, video] of [["a", a], ["b", b]]) {
    const clip = pair.clips[pair[key]];
    byId(`pick-${key}`).value = String(pair[key]);
    byId(`name-${key}`).textContent = `${key.toUpperCase()}: ${clip.label}`;
    if (video.dataset.file !== clip.file) {
      video.dataset.file = clip.file;
      video.poster = clip.run.poster || "";
      video.src = source(clip.file);
    }
  }
  const run = pair.clips[pair.a].run;
  const [width, height] = run.size;
  Object.assign(stage.style, { aspectRatio: `${width}/${height}`, width: `min(100%, calc(64vh * ${width / height}))` });
  byId("large-title").textContent = `${run.prompt}, seed ${run.seed}: ${run.text}`;
  byId("pair").hidden = !run.upscaled;
  byId("large-more").replaceChildren(el("button", { type: "button", onclick: () => details(run) }, "Details of A"), " ", copy(run.command, "Copy command of A"));
}
function compare(run, side) {
  pair.clips = DATA.runs.filter((other) => other.prompt === run.prompt && other.text === run.text && other.seed === run.seed)
    .flatMap((other) => ["native", "upscaled"].filter((kind) => other[kind]).map((kind) => ({ run: other, kind, file: other[kind], label: [named(other), kind].filter(Boolean).join(" · ") })));
  const find = (kind) => pair.clips.findIndex((clip) => clip.run === run && clip.kind === kind);
  const own = side === "native" || !run.upscaled ? find("native") : find("upscaled");
  const apart = (clip) => DATA.axes.filter((axis) => clip.run.axes[axis] !== run.axes[axis]).length + (clip.kind === pair.clips[own].kind ? 0 : 0.5);
  const otherSetting = pair.clips.reduce((best, clip, i) => (clip.run !== run && (best < 0 || apart(clip) < apart(pair.clips[best])) ? i : best), -1);
  if (run.upscaled && run.native) [pair.a, pair.b] = [find("native"), find("upscaled")];
  else [pair.a, pair.b] = [own, otherSetting < 0 ? own : otherSetting];
  for (const key of ["a", "b"]) {
    byId(`pick-${key}`).replaceChildren(...pair.clips.map((clip, index) => el("option", { value: index }, clip.label)));
    byId(`pick-${key}`).onchange = (event) => { pair[key] = Number(event.target.value); show(); };
  }
  all.play(false);
  two.state.at = 0;
  show();
  slide(50);
  byId("large").showModal();
  two.play(true);
}
byId("pair").addEventListener("click", () => {
  const run = pair.clips[pair.a].run;
  for (const [key, kind] of [["a", "native"], ["b", "upscaled"]]) pair[key] = pair.clips.findIndex((clip) => clip.run === run && clip.kind === kind);
  show();
});
function slide(percent) {
  pair.split = Math.max(0, Math.min(100, Number(percent)));
  const difference = byId("difference").checked;
  byId("half-b").style.clipPath = difference ? "none" : `inset(0 0 0 ${pair.split}%)`;
  byId("half-b").style.mixBlendMode = difference ? "difference" : "normal";
  byId("bar").hidden = difference;
  byId("bar").style.left = `${pair.split}%`;
  byId("split").value = pair.split;
}
byId("split").addEventListener("input", (event) => slide(event.target.value));
byId("difference").addEventListener("change", () => slide(pair.split));
const along = (event) => { const box = stage.getBoundingClientRect(); return [(100 * (event.clientX - box.left)) / box.width, (100 * (event.clientY - box.top)) / box.height]; };
stage.addEventListener("pointerdown", (event) => { stage.setPointerCapture(event.pointerId); slide(along(event)[0]); });
stage.addEventListener("pointermove", (event) => { if (event.buttons) slide(along(event)[0]); });
function zoom(factor, [x, y] = [50, 50]) {
  byId("zoom").value = String(factor);
  for (const video of [a, b]) Object.assign(video.style, { transform: `scale(${factor})`, transformOrigin: `${x}% ${y}%` });
}
byId("zoom").addEventListener("change", (event) => zoom(Number(event.target.value)));
stage.addEventListener("dblclick", (event) => zoom(byId("zoom").value === "1" ? 4 : 1, along(event)));
byId("large").addEventListener("close", () => {
  two.play(false);
  zoom(1);
  for (const video of [a, b]) { delete video.dataset.file; video.removeAttribute("src"); video.load(); }
});
