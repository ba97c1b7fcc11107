"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
const times = data.times ? new Float32Array(bytes(data.times).buffer) : null;
const count = data.frames, rate = data.rate;
const timeOf = row => times ? times[row] : row / rate;
const GUTTER = 74, BAND = 26, UNIT = 20, AFFECT = 110, AXIS = 26, GAP = 8;
const COLOURS = ["#9aa0ac", "#d55e00", "#7a5195", "#3b4cc0", "#e69f00", "#0072b2", "#cc79a7", "#4d9078"];
for (const face of data.faces) {
  for (const key of ["expression", "scores", "active", "units"]) if (face[key]) face[key] = bytes(face[key]);
  if (face.affect) face.affect = new Int16Array(bytes(face.affect).buffer);
}
const affectOf = (face, row, i) => face.affect[row * 2 + i] / 10000;
const seen = (face, row) => face.seen.some(([a, b]) => row >= a && row < b);
let first = 0, last = count, cursor = 0;
const views = [];

function rowAt(time) {
  if (!times) return Math.min(count - 1, Math.max(0, Math.floor(time * rate + 1e-3)));
  let low = 0, high = count - 1;
  while (low < high) { const mid = (low + high + 1) >> 1; if (times[mid] <= time + 1e-4) low = mid; else high = mid - 1; }
  return low;
}
const clock = s => `${Math.floor(s / 60)}:${(s % 60).toFixed(2).padStart(5, "0")}`;
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function heightOf(face) {
  return BAND + GAP + (face.units ? 12 * UNIT + GAP : 0) + (face.affect ? AFFECT + GAP : 0) + AXIS;
}

function draw(view) {
  const { canvas, face } = view, ratio = window.devicePixelRatio || 1, wide = canvas.clientWidth, high = heightOf(face);
  canvas.style.height = high + "px";
  if (canvas.width !== Math.round(wide * ratio) || canvas.height !== Math.round(high * ratio)) {
    canvas.width = Math.round(wide * ratio); canvas.height = Math.round(high * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, wide, high);
  pen.font = "12px system-ui, sans-serif"; pen.textBaseline = "middle";
  const span = last - first, across = wide - GUTTER - 4;
  const lane = {
    pen, face, across, x: row => GUTTER + (row - first) / span * across, step: Math.max(1, Math.floor(span / across)),
    parts: face.seen.map(([a, b]) => [Math.max(a, first), Math.min(b, last)]).filter(([a, b]) => b > a),
    ink: css("--ink"), dim: css("--dim"), line: css("--line"), fill: css("--fill"), on: css("--on"),
    label: (text, y) => { pen.fillStyle = lane.ink; pen.textAlign = "left"; pen.fillText(text, 0, y); },
  };
  let y = drawExpression(lane, 0);
  if (face.units) y = drawUnits(lane, y);
  if (face.affect) y = drawAffect(lane, y);
  axis(pen, y, lane.x, across, lane.dim);
  pen.strokeStyle = css("--mark"); pen.lineWidth = 2; pen.beginPath();
  const at = lane.x(Math.min(Math.max(cursor + .5, first), last)); pen.moveTo(at, 0); pen.lineTo(at, y); pen.stroke(); pen.lineWidth = 1;
}

// Who is there, and what the face shows. Each of these draws below `y` and returns where the next begins.
function drawExpression(lane, y) {
  const { pen, face, across, x, parts } = lane;
  lane.label(face.expression ? "expression" : "face", y + BAND / 2);
  pen.strokeStyle = lane.line; pen.strokeRect(GUTTER + .5, y + .5, across - 1, BAND - 1);
  for (const [a, b] of parts) {
    if (!face.expression) { pen.fillStyle = lane.fill; pen.fillRect(x(a), y + 1, x(b) - x(a), BAND - 2); continue; }
    for (let from = a, at = a; at < b; at = from) {
      while (from < b && face.expression[from] === face.expression[at]) from++;
      const which = face.expression[at], left = x(at), right = x(from), name = data.expressions[which];
      pen.fillStyle = COLOURS[which]; pen.fillRect(left, y + 1, Math.max(right - left, .5), BAND - 2);
      const short = [name, name.slice(0, 3), name[0]].find(text => right - left > pen.measureText(text).width + 4);
      if (short) {
        pen.fillStyle = which === 0 || which === 4 || which === 6 ? "#000" : "#fff"; pen.fillText(short, left + 2, y + BAND / 2);
      }
    }
  }
  if (!parts.length) { pen.fillStyle = lane.dim; pen.fillText("no face here", GUTTER + 8, y + BAND / 2); }
  return y + BAND + GAP;
}

function drawUnits(lane, y) {
  const { pen, face, across, x, parts, step } = lane;
  data.units.forEach((name, unit) => {
    const base = y + unit * UNIT + UNIT - 3, tall = UNIT - 6;
    lane.label(name, base - tall / 2);
    pen.strokeStyle = lane.line; pen.lineWidth = 1; pen.beginPath(); pen.moveTo(GUTTER, base + .5); pen.lineTo(GUTTER + across, base + .5); pen.stroke();
    for (const [a, b] of parts) {
      pen.fillStyle = lane.on; pen.globalAlpha = .35;
      for (let at = a; at < b; at += step) {
        let active = false;
        for (let k = at; k < Math.min(at + step, b); k++) active ||= face.active[k * 2 + (unit >> 3)] >> (unit & 7) & 1;
        if (active) pen.fillRect(x(at), base - tall, Math.max(x(at + step) - x(at), 1), tall);
      }
      pen.globalAlpha = 1;
      curve(pen, a, b, step, x, k => base - face.units[k * 12 + unit] / 255 * tall, lane.ink, []);
    }
    const cut = base - data.thresholds[unit] * tall;
    pen.setLineDash([2, 4]); pen.strokeStyle = lane.dim; pen.beginPath(); pen.moveTo(GUTTER, cut); pen.lineTo(GUTTER + across, cut); pen.stroke(); pen.setLineDash([]);
  });
  return y + 12 * UNIT + GAP;
}

function drawAffect(lane, y) {
  const { pen, face, across, x, parts, step } = lane;
  const middle = y + AFFECT / 2, value = (k, i) => affectOf(face, k, i);
  lane.label("valence \u2500", middle - 20); lane.label("arousal \u2504", middle + 20);
  pen.strokeStyle = lane.line; pen.strokeRect(GUTTER + .5, y + .5, across - 1, AFFECT - 1);
  pen.beginPath(); pen.moveTo(GUTTER, middle); pen.lineTo(GUTTER + across, middle); pen.stroke();
  pen.fillStyle = lane.dim; pen.textAlign = "right"; pen.fillText("+1", GUTTER - 3, y + 7); pen.fillText("\u22121", GUTTER - 3, y + AFFECT - 7); pen.textAlign = "left";
  for (const [a, b] of parts) {
    curve(pen, a, b, step, x, k => middle - value(k, 0) * (AFFECT / 2 - 3), lane.on, [], 2);
    curve(pen, a, b, step, x, k => middle - value(k, 1) * (AFFECT / 2 - 3), lane.ink, [5, 4], 1.5);
  }
  return y + AFFECT + GAP;
}

function curve(pen, a, b, step, x, y, colour, dash, width = 1) {
  pen.strokeStyle = colour; pen.setLineDash(dash); pen.lineWidth = width; pen.beginPath();
  for (let at = a; at < b; at += step) {
    let low = Infinity, high = -Infinity;
    for (let k = at; k < Math.min(at + step, b); k++) { const v = y(k); if (v < low) low = v; if (v > high) high = v; }
    const px = x(at + .5); at === a ? pen.moveTo(px, low) : pen.lineTo(px, low);
    if (high - low > 1) pen.lineTo(px, high);
  }
  pen.stroke(); pen.setLineDash([]); pen.lineWidth = 1;
}

function axis(pen, y, x, across, dim) {
  const seconds = timeOf(last - 1) - timeOf(first), wanted = seconds / Math.max(2, across / 110);
  const unit = [.04, .1, .2, .5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600].find(s => s >= wanted) || 7200;
  pen.fillStyle = dim; pen.strokeStyle = dim;
  for (let t = Math.ceil(timeOf(first) / unit) * unit; t <= timeOf(last - 1) + 1e-6; t += unit) {
    const px = x(rowAt(t)); pen.beginPath(); pen.moveTo(px, y - GAP); pen.lineTo(px, y - 2); pen.stroke();
    pen.textAlign = px > GUTTER + across - 40 ? "right" : "left"; pen.fillText(clock(t), px, y + 8);
  }
  pen.textAlign = "left";
}

function say(view) {
  const { face, out } = view, parts = [`frame ${cursor + 1} of ${count}, ${clock(timeOf(cursor))}`];
  if (!seen(face, cursor)) parts.push("no face");
  else {
    if (face.expression) {
      const which = face.expression[cursor], ranked = data.expressions.map((name, i) => [face.scores[cursor * 8 + i] / 255, name]).sort((p, q) => q[0] - p[0]).slice(0, 3);
      parts.push(`${data.expressions[which]} (${ranked.map(([p, name]) => `${name} ${(100 * p).toFixed(0)} %`).join(", ")})`);
    }
    if (face.units) {
      const active = data.units.filter((_, u) => face.active[cursor * 2 + (u >> 3)] >> (u & 7) & 1);
      parts.push(active.length ? active.join(" ") : "no unit active");
    }
    if (face.affect) parts.push(["valence", "arousal"].map((name, i) => { const v = affectOf(face, cursor, i); return `${name} ${v < 0 ? "\u2212" : "+"}${Math.abs(v).toFixed(2)}`; }).join(", "));
  }
  out.textContent = parts.join(" \u00b7 ");
}

const slider = document.getElementById("at"), video = document.querySelector("video");
let waiting = false;
function show() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; slider.value = cursor; slider.setAttribute("aria-valuetext", `frame ${cursor + 1}, ${clock(timeOf(cursor))}`); views.forEach(view => { draw(view); say(view); }); });
}
function go(row, seek = true) {
  cursor = Math.min(count - 1, Math.max(0, row));
  if (cursor < first || cursor >= last) { const span = last - first; first = Math.min(Math.max(0, cursor - (span >> 1)), count - span); last = first + span; }
  if (seek && video) video.currentTime = timeOf(cursor) + 1e-3;
  show();
}
function zoom(factor, around = cursor) {
  const span = Math.min(count, Math.max(Math.min(20, count), Math.round((last - first) * factor)));
  const part = (around - first) / (last - first);
  first = Math.min(Math.max(0, Math.round(around - part * span)), count - span); last = first + span;
  show();
}
const pages = { ArrowLeft: -1, ArrowRight: 1 };
function key(event) {
  const second = Math.max(1, Math.round(rate));
  if (event.key in pages) go(cursor + pages[event.key] * (event.shiftKey ? second : 1));
  else if (event.key === "PageUp") go(cursor - (last - first));
  else if (event.key === "PageDown") go(cursor + (last - first));
  else if (event.key === "Home") go(0);
  else if (event.key === "End") go(count - 1);
  else if (event.key === "+" || event.key === "=") zoom(.5);
  else if (event.key === "-") zoom(2);
  else if (event.key === "0") { first = 0; last = count; show(); }
  else if (event.key === " " && video) video.paused ? video.play() : video.pause();
  else return;
  event.preventDefault();
}
document.querySelectorAll("canvas").forEach((canvas, i) => {
  const view = { canvas, face: data.faces[i], out: canvas.nextElementSibling };
  views.push(view);
  const pick = event => go(Math.floor(first + (event.offsetX - GUTTER) / (canvas.clientWidth - GUTTER - 4) * (last - first)));
  canvas.addEventListener("pointerdown", event => { canvas.setPointerCapture(event.pointerId); pick(event); });
  canvas.addEventListener("pointermove", event => { if (event.buttons & 1) pick(event); });
  canvas.addEventListener("wheel", event => { if (!event.ctrlKey) return; event.preventDefault(); zoom(event.deltaY > 0 ? 1.25 : .8); }, { passive: false });
  canvas.addEventListener("keydown", key);
});
slider.addEventListener("input", () => go(Number(slider.value)));
document.getElementById("in").addEventListener("click", () => zoom(.5));
document.getElementById("out").addEventListener("click", () => zoom(2));
document.getElementById("all").addEventListener("click", () => { first = 0; last = count; show(); });
if (video) {
  video.addEventListener("error", () => video.remove());
  const at = () => { if (!video.seeking) go(rowAt(video.currentTime), false); };
  for (const moved of ["timeupdate", "seeked", "pause", "ended"]) video.addEventListener(moved, at);
  const follow = () => { if (!video.paused) at(); if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(follow); };
  if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(follow);
}
window.addEventListener("resize", show);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
show();
