// The report's timeline: unpacks one video at a time, scrolls and zooms. See page_timeline.py for the bytes and
// page_draw.js for what is drawn.
"use strict";
(() => {
  const text = (id) => document.getElementById(id)?.textContent ?? "";
  if (!text("timeline-about")) return;
  const about = JSON.parse(text("timeline-about"));
  const [scroller, inner, canvas, readout] = ["scroll", "inner", "canvas", "read"].map((id) =>
    document.getElementById(`timeline-${id}`));
  const [videoList, headList] = ["video", "head"].map((id) => document.getElementById(`timeline-${id}`));
  const outputs = about.outputs, count = outputs.length, isVa = about.low < 0;
  const ON = 2, PARTLY = 1, UNKNOWN = 3, NOT_ANNOTATED = 255, RIGHT = 8;
  let data = null, zoom = 1, cursor = null, wanted = 0;

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
    found.faces = await faces(v);
    return found;
  }

  async function faces(v) {
    const strip = text(`faces-${v}`);
    if (!strip) return null;
    const picture = await createImageBitmap(new Blob([bytes(strip)], { type: "image/jpeg" }));
    return { picture, at: about.faces[v] };
  }

  async function choose(v) {
    wanted = v;
    videoList.value = String(v);
    const found = await unpack(v);
    if (wanted !== v) return; // another one was chosen meanwhile
    data = found;
    cursor = null;
    setZoom(1, 0);
  }

  // ---- what is in view -------------------------------------------------------------------------------------------
  const gutter = () => (canvas.clientWidth < 520 ? 66 : 84);
  const span = () => data.frames / zoom;
  const first = () => {
    const room = inner.clientWidth - scroller.clientWidth;
    return room > 0 ? (scroller.scrollLeft / room) * (data.frames - span()) : 0;
  };
  const toX = (frame) => gutter() + ((frame - first()) / span()) * (canvas.clientWidth - gutter() - RIGHT);
  const toFrame = (x) => first() + ((x - gutter()) / (canvas.clientWidth - gutter() - RIGHT)) * span();

  function setZoom(next, centre) {
    const most = Math.max(1, data.frames / 25);
    zoom = Math.min(Math.max(next, 1), most);
    inner.style.width = `${scroller.clientWidth * zoom}px`;
    const room = inner.clientWidth - scroller.clientWidth;
    const left = data.frames - span();
    scroller.scrollLeft = left > 0 ? ((centre - span() / 2) / left) * room : 0;
    draw();
  }

  const middle = () => first() + span() / 2;
  function zoomBy(factor) { setZoom(zoom * factor, cursor ?? middle()); }
  function scrollBy(part) { scroller.scrollLeft += part * scroller.clientWidth; }

  // ---- drawing ---------------------------------------------------------------------------------------------------
  const view = { first, span, toX, gutter, RIGHT, data: null, cursor: null };
  const paint = painter(canvas, about, view);

  function draw() {
    if (!data) return;
    view.data = data;
    view.cursor = cursor;
    inner.style.height = `${paint.draw(scroller.clientWidth, Number(headList.value))}px`;
    const a = Math.floor(first()) + 1, b = Math.min(data.frames, Math.ceil(first() + span()));
    scroller.setAttribute("aria-label", `Timeline of ${about.names[data.v]}, frames ${a} to ${b} of ${data.frames}`);
    readOut(a, b);
  }

  function readOut(a, b) {
    const name = about.names[data.v];
    if (cursor === null) {
      readout.textContent = `${name}: frames ${a.toLocaleString("en")} to ${b.toLocaleString("en")} of ${data.frames.toLocaleString("en")}`;
      return;
    }
    const bin = Math.min(Math.floor(cursor / about.stride), data.bins - 1);
    const value = (row) => (row[bin] / 100 + about.low).toFixed(2);
    const parts = [`${name}, frame ${(Math.floor(cursor) + 1).toLocaleString("en")}`];
    if (data.present[bin] !== ON) parts.push("no prediction of every head here: filled");
    if (isVa) {
      outputs.forEach((output, c) => {
        const known = data.truth[c][bin] !== NOT_ANNOTATED;
        parts.push(`${output}: truth ${known ? value(data.truth[c]) : "unknown"}, blend ${value(data.blend[c])}`);
      });
    } else {
      const on = (rows) => outputs.filter((_, c) => rows[c][bin] === ON || rows[c][bin] === PARTLY).join(" ") || "none";
      parts.push(`truth: ${data.truth[0][bin] === UNKNOWN ? "unknown" : on(data.truth)}`, `decided: ${on(data.decided)}`);
    }
    readout.textContent = parts.join(" · ");
  }

  // ---- mouse, fingers, keys --------------------------------------------------------------------------------------
  function moveCursor(frame) {
    cursor = Math.min(Math.max(frame, 0), data.frames - 1);
    if (cursor < first() || cursor >= first() + span()) setZoom(zoom, cursor); else draw();
  }

  const keys = {
    ArrowLeft: () => scrollBy(-0.1), ArrowRight: () => scrollBy(0.1), PageUp: () => scrollBy(-0.9), PageDown: () => scrollBy(0.9),
    Home: () => { scroller.scrollLeft = 0; }, End: () => { scroller.scrollLeft = inner.clientWidth; },
    "+": () => zoomBy(1.5), "=": () => zoomBy(1.5), "-": () => zoomBy(1 / 1.5), 0: () => setZoom(1, 0),
    ",": () => moveCursor((cursor ?? middle()) - about.stride), ".": () => moveCursor((cursor ?? middle()) + about.stride),
    "[": () => step(-1), "]": () => step(1),
  };
  const step = (by) => {
    const at = videoList.selectedIndex + by;
    if (at >= 0 && at < videoList.options.length) choose(Number(videoList.options[at].value));
  };

  scroller.addEventListener("keydown", (event) => {
    if (!data || event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });
  scroller.addEventListener("scroll", () => requestAnimationFrame(draw));
  scroller.addEventListener("wheel", (event) => {
    if (!data || !event.ctrlKey) return; // without Ctrl the page scrolls
    event.preventDefault();
    setZoom(zoom * 1.2 ** -Math.sign(event.deltaY), toFrame(event.clientX - canvas.getBoundingClientRect().left));
  }, { passive: false });
  canvas.addEventListener("pointermove", (event) => {
    if (!data) return;
    const frame = toFrame(event.clientX - canvas.getBoundingClientRect().left);
    cursor = frame >= first() && frame < first() + span() ? frame : null;
    draw();
  });
  canvas.addEventListener("pointerleave", () => { cursor = null; draw(); });
  videoList.addEventListener("change", () => choose(Number(videoList.value)));
  headList.addEventListener("change", draw);
  for (const [id, act] of [["before", () => step(-1)], ["after", () => step(1)], ["in", () => zoomBy(2)],
    ["out", () => zoomBy(0.5)], ["all", () => setZoom(1, 0)]]) {
    document.getElementById(`timeline-${id}`).addEventListener("click", () => data && act());
  }
  for (const link of document.querySelectorAll("a[data-video]")) {
    link.addEventListener("click", () => choose(Number(link.dataset.video)));
  }
  new ResizeObserver(() => data && setZoom(zoom, middle())).observe(scroller);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { paint.readColours(); draw(); });

  if (typeof DecompressionStream === "undefined") {
    readout.textContent = "This browser is too old to unpack the timeline (it lacks DecompressionStream).";
  } else {
    choose(Number(videoList.value));
  }
})();
