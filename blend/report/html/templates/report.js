// The report's timeline: unpacks one video at a time (timeline.py packs them), scrolls and zooms. timeline.js draws.
"use strict";
(() => {
  const part = (id) => document.getElementById(`timeline-${id}`);
  const text = (id) => document.getElementById(id)?.textContent ?? "";
  const about = JSON.parse(text("timeline-about"));
  const [scroller, inner, canvas, readout, videoList, headList] =
    ["scroll", "inner", "canvas", "read", "video", "head"].map(part);
  const outputs = about.outputs, count = outputs.length, isVa = about.low < 0;
  const ON = 2, PARTLY = 1, UNKNOWN = 3, NOT_ANNOTATED = 255;
  const OPACITY = [0, 0.45, 1, -1], HATCHING = [0.5, 0.25, 0];
  const FACE = 48;
  let data = null, wanted = 0;
  const view = new Timeline(canvas, { ticks, unit: "frame" });
  view.stride = about.stride;

  const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

  async function unpack(v) {
    const stream = new Blob([bytes(text(`timeline-${v}`))]).stream().pipeThrough(new DecompressionStream("gzip"));
    const flat = new Uint8Array(await new Response(stream).arrayBuffer());
    const bins = Math.ceil(about.frames[v] / about.stride);
    const rows = [];
    for (let at = 0; at < flat.length; at += bins) {
      const row = flat.subarray(at, at + bins);
      for (let i = 1; i < bins; i++) row[i] += row[i - 1]; // modulo 256, as it was stored
      rows.push(row);
    }
    const take = (n) => rows.splice(0, n);
    const found = { v, bins, frames: about.frames[v], blend: take(count), heads: about.heads.map(() => take(count)) };
    found.truth = take(count);
    found.decided = isVa ? null : take(count);
    found.present = rows[0];
    const strip = text(`faces-${v}`);
    found.faces = strip ? await createImageBitmap(new Blob([bytes(strip)], { type: "image/jpeg" })) : null;
    return found;
  }

  async function choose(v) {
    wanted = v;
    videoList.value = String(v);
    const found = await unpack(v);
    if (wanted !== v) return; // another one was chosen meanwhile
    data = found;
    Object.assign(view, { frames: data.frames, cursor: null, lanes: lanes() });
    look(0, data.frames);
  }

  // ---- what is drawn ---------------------------------------------------------------------------------------------
  function lanes() {
    const height = isVa ? 170 : count > 8 ? 54 : 60, most = isVa ? 200 : 100, head = Number(headList.value);
    const curve = (row, colour, width, dash) =>
      ({ at: (i) => (row[i] === NOT_ANNOTATED ? NaN : row[i] / most), colour, width, dash });
    const band = (row, y, colour) => ({ at: (i) => OPACITY[row[i]], y, height: 5, colour });
    const own = outputs.map((name, c) => {
      const lane = { height, top: isVa ? 8 : 17, bottom: height - 6, gaps: (i) => HATCHING[data.present[i]] };
      lane.rules = (isVa ? [0, 0.5, 1] : [0, 1]).map((level) => ({ level }));
      lane.curves = head < 0 ? [] : [curve(data.heads[head][c], "s3", 1, [3, 2])];
      lane.texts = [[name, isVa ? height / 2 : 15]];
      if (isVa) {
        lane.curves.push(curve(data.truth[c], "s2", 1.6, [7, 2]));
        for (const value of [-1, 0, 1]) lane.texts.push([String(value), 90 - 78 * value, "soft", "right"]);
      } else {
        lane.bands = [band(data.truth[c], 3, "s2"), band(data.decided[c], 9.5, "s1")];
      }
      if (about.thresholds) {
        lane.rules.push({ level: about.thresholds[c], colour: "s1", dash: [4, 3] });
        lane.texts.push([`≥ ${about.thresholds[c].toFixed(2)}`, 31, "soft"]);
      }
      lane.curves.push(curve(data.blend[c], "s0", 1.5));
      return lane;
    });
    return data.faces ? [{ height: FACE + 8, top: 0, bottom: FACE, paint: faces }, ...own] : own;
  }

  function faces({ pen, left, right, first, span }, y) {
    let free = left;
    about.faces[data.v].forEach((frame, i) => {
      const x = Math.min(Math.max(view.toX(frame - 0.5) - FACE / 2, left), right - FACE);
      if (frame < first || frame > first + span + 1 || x < free) return;
      pen.drawImage(data.faces, i * FACE, 0, FACE, FACE, x, y + 2, FACE, FACE);
      free = x + FACE + 2;
    });
  }

  function ticks({ first, span, left, right }) {
    const rough = (span / (right - left)) * 80, power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
    const step = Math.max(1, [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough));
    const found = [];
    for (let frame = Math.max(1, Math.ceil(first / step)) * step; frame <= first + span; frame += step) {
      found.push([frame - 0.5, frame.toLocaleString("en")]);
    }
    return found;
  }

  function draw() {
    if (!data) return;
    inner.style.height = `${view.draw(scroller.clientWidth)}px`;
    const a = Math.floor(view.first) + 1, b = Math.min(data.frames, Math.ceil(view.first + view.span));
    scroller.setAttribute("aria-label", `Timeline of ${about.names[data.v]}, frames ${a} to ${b} of ${data.frames}`);
    readout.textContent = told(a, b).join(" · ");
    drawFace();
  }

  // The face that is nearest to the cursor, or the first one in view, twice as large.
  function drawFace() {
    const large = part("face"), frames = data.faces ? about.faces[data.v] : [];
    if (!large) return;
    const at = view.cursor ?? view.first, pen = large.getContext("2d");
    pen.clearRect(0, 0, large.width, large.height);
    const far = frames.map((frame) => Math.abs(frame - 1 - at)), i = far.indexOf(Math.min(...far));
    if (i >= 0) pen.drawImage(data.faces, i * FACE, 0, FACE, FACE, 0, 0, large.width, large.height);
  }

  function told(a, b) {
    const name = about.names[data.v], cursor = view.cursor, number = (n) => n.toLocaleString("en");
    if (cursor === null) return [`${name}: frames ${number(a)} to ${number(b)} of ${number(data.frames)}`];
    const bin = Math.min(Math.floor(cursor / about.stride), data.bins - 1);
    const parts = [`${name}, frame ${number(Math.floor(cursor) + 1)}`];
    if (data.present[bin] !== ON) parts.push("no prediction of every head here: filled");
    if (isVa) {
      const value = (row) => (row[bin] === NOT_ANNOTATED ? "unknown" : (row[bin] / 100 + about.low).toFixed(2));
      const both = (output, c) => `${output}: truth ${value(data.truth[c])}, blend ${value(data.blend[c])}`;
      return [...parts, ...outputs.map(both)];
    }
    const score = (c) => ` ${(data.blend[c][bin] / 100).toFixed(2)}`;
    const on = (rows, more = () => "") => outputs.map((name, c) => [rows[c][bin], name + more(c)])
      .filter(([state]) => state === ON || state === PARTLY).map(([, text]) => text).join(", ") || "none";
    const truth = data.truth[0][bin] === UNKNOWN ? "unknown" : on(data.truth);
    return [...parts, `truth: ${truth}`, `decided (score): ${on(data.decided, score)}`];
  }

  // ---- mouse, fingers, keys --------------------------------------------------------------------------------------
  const room = () => inner.clientWidth - scroller.clientWidth;

  function look(first, span) {
    if (!data) return;
    view.look(first, span);
    inner.style.width = `${(scroller.clientWidth * data.frames) / view.span}px`;
    scroller.scrollLeft = (view.first / Math.max(data.frames - view.span, 1)) * room();
    draw();
  }

  const middle = () => view.cursor ?? view.first + view.span / 2;
  const zoom = (factor, centre = middle()) => look(centre - (view.span * factor) / 2, view.span * factor);
  const scroll = (share) => { scroller.scrollLeft += share * scroller.clientWidth; };
  const all = () => look(0, view.frames);

  function point(frame) {
    if (!data) return;
    view.cursor = Math.min(Math.max(frame, 0), data.frames - 1);
    const inside = view.cursor >= view.first && view.cursor < view.first + view.span;
    if (inside) draw(); else look(view.cursor - view.span / 2, view.span);
  }

  function step(by) {
    const option = videoList.options[videoList.selectedIndex + by];
    if (option) choose(Number(option.value));
  }

  const keys = {
    ArrowLeft: () => scroll(-0.1), ArrowRight: () => scroll(0.1), PageUp: () => scroll(-0.9), PageDown: () => scroll(0.9),
    Home: () => { scroller.scrollLeft = 0; }, End: () => { scroller.scrollLeft = inner.clientWidth; },
    "+": () => zoom(1 / 1.5), "=": () => zoom(1 / 1.5), "-": () => zoom(1.5), 0: all,
    ",": () => point(middle() - about.stride), ".": () => point(middle() + about.stride),
    "[": () => step(-1), "]": () => step(1),
  };
  view.steer(scroller, keys, zoom);
  scroller.addEventListener("scroll", () => requestAnimationFrame(() => {
    view.look((scroller.scrollLeft / Math.max(room(), 1)) * (view.frames - view.span), view.span);
    draw();
  }));
  canvas.addEventListener("pointermove", (event) => {
    if (!data) return;
    const frame = view.toFrame(event.clientX - canvas.getBoundingClientRect().left);
    view.cursor = frame >= view.first && frame < view.first + view.span ? frame : null;
    draw();
  });
  canvas.addEventListener("pointerleave", () => { view.cursor = null; draw(); });
  videoList.addEventListener("change", () => choose(Number(videoList.value)));
  headList.addEventListener("change", () => {
    if (data) view.lanes = lanes();
    draw();
  });
  const buttons = { before: () => step(-1), after: () => step(1), in: () => zoom(0.5), out: () => zoom(2), all };
  for (const [id, act] of Object.entries(buttons)) part(id).addEventListener("click", act);
  for (const link of document.querySelectorAll("a[data-video]")) {
    link.addEventListener("click", () => choose(Number(link.dataset.video)));
  }
  new ResizeObserver(() => data && look(view.first, view.span)).observe(scroller);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  if (typeof DecompressionStream === "undefined") {
    readout.textContent = "This browser is too old to unpack the timeline (it lacks DecompressionStream).";
  } else {
    choose(Number(videoList.value));
  }
})();
