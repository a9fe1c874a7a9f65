"use strict";
// Clips in step: the longest one leads, the others are put where it is; a shorter one waits at its end.
const APART = 0.07; // s; less than a frame at 8 or 16 fps is not seen
const urls = {};
function source(address) {
  const held = DATA.held[address];
  if (!held) return address;
  if (!urls[address]) {
    const [head, body] = held.split(",");
    urls[address] = URL.createObjectURL(new Blob([Uint8Array.from(atob(body), (c) => c.charCodeAt(0))], { type: /data:([^;]+)/.exec(head)[1] }));
  }
  return urls[address];
}
// videos() -> the clips that are to play now. buttons: ids of play, back, on, seek; fps() of the finest clip.
function conductor(videos, ids, label, fps) {
  const state = { playing: false, at: 0, rate: 1 };
  const ready = () => videos().filter((video) => video.readyState >= 1 && video.duration > 0);
  const longest = (list) => list.reduce((a, b) => (b.duration > a.duration ? b : a));
  const put = (video, time) => {
    const wanted = Math.max(0, Math.min(time, video.duration - 0.001));
    if (Math.abs(video.currentTime - wanted) > (state.playing ? APART : 0.001)) video.currentTime = wanted;
  };
  const go = (video) => { video.playbackRate = state.rate; video.play().catch(() => {}); };
  const mark = (list) => { if (list.length) byId(ids.seek).value = (1000 * state.at) / longest(list).duration; };
  function tick() {
    const list = ready();
    if (!state.playing || !list.length) return;
    const leader = longest(list);
    if (leader.ended || leader.currentTime >= leader.duration) for (const video of list) { video.currentTime = 0; go(video); }
    if (leader.paused) go(leader);
    state.at = leader.currentTime;
    for (const video of list) if (video !== leader) {
      put(video, state.at);
      if (video.paused && !video.ended && state.at < video.duration - APART) go(video);
    }
    mark(list);
  }
  function play(on) {
    state.playing = on;
    byId(ids.play).textContent = on ? "Pause" : label;
    for (const video of ready()) { put(video, state.at); on ? go(video) : video.pause(); }
    if (!on) seek(state.at);
  }
  function seek(time) {
    const list = ready();
    if (!list.length) return;
    state.at = Math.max(0, Math.min(time, longest(list).duration - 0.001));
    for (const video of list) put(video, state.at);
    mark(list);
  }
  const step = (frames) => { if (state.playing) play(false); seek((Math.floor(state.at * fps() + 0.01) + frames + 0.5) / fps()); };
  byId(ids.play).addEventListener("click", () => play(!state.playing));
  byId(ids.back).addEventListener("click", () => step(-1));
  byId(ids.on).addEventListener("click", () => step(1));
  byId(ids.seek).addEventListener("input", (event) => { const list = ready(); if (list.length) seek((event.target.value / 1000) * longest(list).duration); });
  setInterval(tick, 100);
  return {
    state, play, seek,
    joined: (video) => { if (video.duration > 0) put(video, state.at); if (state.playing) go(video); },
    speed: (rate) => { state.rate = rate; for (const video of ready()) video.playbackRate = rate; },
  };
}
