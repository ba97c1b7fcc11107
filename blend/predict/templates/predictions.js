// The page of a predicted video: a timeline for each face, the video beside it. timeline.js draws.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const times = data.times ? new Float32Array(bytes(data.times).buffer) : null;
const count = data.frames, rate = data.rate;
const BAND = 34, UNIT = 20, AFFECT = 118; // pixels of a lane
const COLOURS = ["#9aa0ac", "#d55e00", "#7a5195", "#3b4cc0", "#e69f00", "#0072b2", "#cc79a7", "#4d9078"];
const INKS = COLOURS.map((_, i) => ([0, 4, 6].includes(i) ? "#000" : "#fff"));
const AFFECTS = ["valence", "arousal"];
const timeOf = (row) => (times ? times[row] : row / rate);
const clock = (s) => `${Math.floor(s / 60)}:${(s % 60).toFixed(2).padStart(5, "0")}`;
const slider = document.getElementById("at"), video = document.querySelector("video");
let cursor = 0, waiting = false;

function rowAt(time) {
  if (!times) return Math.min(count - 1, Math.max(0, Math.floor(time * rate + 1e-3)));
  let low = 0, high = count - 1;
  while (low < high) { const mid = (low + high + 1) >> 1; if (times[mid] <= time + 1e-4) low = mid; else high = mid - 1; }
  return low;
}

// What a face shows in a row; nothing where it is not seen.
function reader(face) {
  const seen = new Uint8Array(count), first = face.first;
  for (const [a, b] of face.seen) seen.fill(1, a, b);
  const of = Object.fromEntries(["expression", "scores", "active", "units"].map((key) => [key, face[key] && bytes(face[key])]));
  const affects = face.affect && new Int16Array(bytes(face.affect).buffer);
  const value = (found) => (row) => (seen[row] ? found(row) : NaN);
  return {
    seen: (row) => seen[row] === 1,
    expression: of.expression && ((row) => (seen[row] ? of.expression[row - first] : -1)),
    score: (row, i) => of.scores[(row - first) * 8 + i] / 255,
    unit: of.units && ((unit) => value((row) => of.units[(row - first) * 12 + unit] / 255)),
    active: (unit) => (row) => seen[row] && (of.active[(row - first) * 2 + (unit >> 3)] >> (unit & 7)) & 1,
    affect: affects && ((i) => value((row) => affects[(row - first) * 2 + i] / 10000)),
  };
}

// The lane of what a face shows: its expression, or that it is there.
function band(face, text, height = BAND) {
  const bars = face.expression
    ? { at: face.expression, names: data.expressions, colours: COLOURS, inks: INKS }
    : { at: (row) => face.seen(row) - 1, names: [""], colours: ["tint"], inks: ["ink"] };
  const texts = [[text, height / 2]];
  return { height, top: 0.5, bottom: height - 8.5, box: true, texts, names: { ...bars, none: "no face here" } };
}

function lanes(face) {
  const found = [band(face, face.expression ? "expression" : "face")];
  if (face.unit) {
    data.units.forEach((name, unit) => found.push({
      height: UNIT, top: 3, bottom: 17, texts: [[name, 14]],
      bands: [{ at: (row) => 0.35 * face.active(unit)(row), y: 3, height: 14, colour: "on" }],
      rules: [{ level: 0 }, { level: data.thresholds[unit], colour: "soft", dash: [2, 4] }],
      curves: [{ at: face.unit(unit), colour: "ink" }],
    }));
    found.push({ height: 8 });
  }
  if (face.affect) {
    const level = (i) => (row) => (face.affect(i)(row) + 1) / 2;
    found.push({
      height: AFFECT, top: 0.5, bottom: 109.5, box: true, rules: [{ level: 0.5 }],
      texts: [["valence ─", 39], ["arousal ┄", 79], ["+1", 11, "soft", "right"], ["−1", 107, "soft", "right"]],
      curves: [{ at: level(0), colour: "on", width: 2 }, { at: level(1), colour: "ink", width: 1.5, dash: [5, 4] }],
    });
  }
  return found;
}

function ticks({ first, span, left, right }) {
  const [from, to] = [timeOf(Math.floor(first)), timeOf(Math.min(Math.ceil(first + span), count) - 1)];
  const wanted = (to - from) / Math.max(2, (right - left) / 110), found = [];
  const unit = [.04, .1, .2, .5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600].find((s) => s >= wanted) || 7200;
  for (let t = Math.ceil(from / unit) * unit; t <= to + 1e-6; t += unit) found.push([rowAt(t), clock(t)]);
  return found;
}

const place = () => `frame ${cursor + 1} of ${count}, ${clock(timeOf(cursor))}`;

function told(face) {
  const parts = [place()];
  if (!face.seen(cursor)) return [...parts, "no face"];
  if (face.expression) {
    const ranked = data.expressions.map((name, i) => [face.score(cursor, i), name]).sort((p, q) => q[0] - p[0]).slice(0, 3);
    const shares = ranked.map(([p, name]) => `${name} ${(100 * p).toFixed(0)} %`).join(", ");
    parts.push(`${data.expressions[face.expression(cursor)]} (${shares})`);
  }
  if (face.unit) parts.push(data.units.filter((_, unit) => face.active(unit)(cursor)).join(" ") || "no unit active");
  if (face.affect) {
    const values = AFFECTS.map((name, i) => [name, face.affect(i)(cursor)]);
    parts.push(values.map(([name, v]) => `${name} ${v < 0 ? "\u2212" : "+"}${Math.abs(v).toFixed(2)}`).join(", "));
  }
  return parts;
}

// Of people with numbers: who is in sight, and what they show.
function toldOfAll() {
  const there = faces.map((face, i) => [face, data.faces[i].name]).filter(([face]) => face.seen(cursor));
  const shown = there.map(([face, name]) => (face.expression ? `${name} ${data.expressions[face.expression(cursor)]}` : name));
  return [place(), ...(shown.length ? shown : ["nobody"])];
}

const faces = data.faces.map(reader);
const views = [...document.querySelectorAll("canvas")].map((canvas) => {
  const view = new Timeline(canvas, { ticks, mark: ["mark", 2] }), face = faces[canvas.dataset.face];
  const height = faces.length > 30 ? 22 : BAND;
  const shown = face ? lanes(face) : faces.map((other, i) => band(other, `${data.faces[i].name}`, height));
  const tell = face ? () => told(face) : toldOfAll;
  Object.assign(view, { frames: count, span: count, tell, lanes: shown, out: canvas.closest("section").querySelector("output") });
  return view;
});

function show() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    slider.value = cursor;
    slider.setAttribute("aria-valuetext", `frame ${cursor + 1}, ${clock(timeOf(cursor))}`);
    for (const view of views) {
      if (view.canvas.closest("details:not([open])")) continue;
      view.cursor = cursor;
      view.draw(view.canvas.parentElement.clientWidth);
      view.out.textContent = view.tell().join(" · ");
    }
  });
}

function look(first, span) {
  for (const view of views) view.look(first, span);
  show();
}

function go(row, seek = true) {
  const { first, span } = views[0];
  cursor = Math.min(count - 1, Math.max(0, row));
  if (seek && video) video.currentTime = timeOf(cursor) + 1e-3;
  if (cursor < first || cursor >= first + span) look(cursor - (span >> 1), span); else show();
}

function zoom(factor, around = cursor) {
  const { first, span } = views[0], next = Math.round(span * factor);
  look(Math.round(around - ((around - first) / span) * next), next);
}

const all = () => look(0, count);
const step = (by) => (event) => go(cursor + by * (event.shiftKey ? Math.max(1, Math.round(rate)) : 1));
const keys = {
  ArrowLeft: step(-1), ArrowRight: step(1), Home: () => go(0), End: () => go(count - 1), 0: all,
  PageUp: () => go(cursor - views[0].span), PageDown: () => go(cursor + views[0].span),
  "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2),
};
if (video) keys[" "] = () => (video.paused ? video.play() : video.pause());
for (const view of views) {
  const pick = (event) => go(Math.floor(view.toFrame(event.offsetX)));
  view.steer(view.canvas, keys, zoom);
  view.canvas.addEventListener("pointerdown", (event) => { view.canvas.setPointerCapture(event.pointerId); pick(event); });
  view.canvas.addEventListener("pointermove", (event) => { if (event.buttons & 1) pick(event); });
}
slider.addEventListener("input", () => go(Number(slider.value)));
const buttons = { in: () => zoom(0.5), out: () => zoom(2), all };
for (const [id, act] of Object.entries(buttons)) document.getElementById(id).addEventListener("click", act);
if (video) {
  video.addEventListener("error", () => video.remove());
  const at = () => { if (!video.seeking) go(rowAt(video.currentTime), false); };
  for (const moved of ["timeupdate", "seeked", "pause", "ended"]) video.addEventListener(moved, at);
  const follow = () => { if (!video.paused) at(); if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(follow); };
  if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(follow);
}
window.addEventListener("resize", show);
for (const details of document.querySelectorAll("details")) details.addEventListener("toggle", show);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
show();
