// A timeline on a canvas: lanes over frames, of which `span` from `first` on are in view. The report and the page of a
// predicted video both draw with it; a lane shows what it is given, so where there is no truth, none is drawn.
//
// A lane has `height`, `top` and `bottom` (pixels below its upper edge; levels 1 and 0 are there), and any of
//   curves  [{ at, colour, width, dash }]          at(i): level of bin i, NaN for none
//   bands   [{ at, y, height, colour }]            at(i): opacity, 0 for none, -1 for not known (dotted)
//   names   { at, names, colours, inks, none }     at(i): number of a name, -1 for none
//   gaps    at(i): opacity of the hatching         rules   [{ level, colour, dash }]
//   texts   [[text, y, colour, align]]             paint   (timeline, y) => ...          box   true for a frame
// A colour is a variable of the style sheet without its dashes, or #rgb. A bin is `stride` frames.
"use strict";
class Timeline {
  static AXIS = 24;
  static RIGHT = 8;
  static LEAST = 20; // frames in view

  // ticks(timeline): [[frame, text], ...] of the axis, which is named `unit`; `mark`: colour and width at `cursor`.
  constructor(canvas, { ticks, unit = "", mark = ["ink", 1] }) {
    Object.assign(this, { canvas, ticks, unit, mark, pen: canvas.getContext("2d") });
    Object.assign(this, { lanes: [], frames: 1, stride: 1, first: 0, span: 1, cursor: null, left: 0, right: 1 });
  }

  toX(frame) { return this.left + ((frame - this.first) / this.span) * (this.right - this.left); }
  toFrame(x) { return this.first + ((x - this.left) / (this.right - this.left)) * this.span; }

  look(first, span) {
    this.span = Math.min(this.frames, Math.max(Timeline.LEAST, span));
    this.first = Math.min(Math.max(0, first), this.frames - this.span);
  }

  // Keys and Ctrl with the wheel; zoom(factor, frame) makes what is in view `factor` times as long around a frame.
  steer(element, keys, zoom) {
    element.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
      event.preventDefault();
      keys[event.key](event);
    });
    element.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return; // without Ctrl the page scrolls
      event.preventDefault();
      zoom(1.2 ** Math.sign(event.deltaY), this.toFrame(event.clientX - this.canvas.getBoundingClientRect().left));
    }, { passive: false });
  }

  // Everything in view, `width` pixels wide; returns the height.
  draw(width) {
    const { canvas, pen, lanes } = this, ratio = window.devicePixelRatio || 1;
    const height = lanes.reduce((sum, lane) => sum + lane.height, Timeline.AXIS);
    [this.left, this.right] = [width < 520 ? 72 : 84, width - Timeline.RIGHT];
    [canvas.style.width, canvas.style.height] = [`${width}px`, `${height}px`];
    const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== across || canvas.height !== down) [canvas.width, canvas.height] = [across, down];
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = `11.5px ${getComputedStyle(document.body).fontFamily}`;
    const style = getComputedStyle(document.documentElement), known = {};
    this.colour = (name) => (name[0] === "#" ? name : (known[name] ??= style.getPropertyValue(`--${name}`).trim()));
    let y = 0;
    for (const lane of lanes) {
      this.drawLane(lane, y);
      y += lane.height;
    }
    this.drawAxis(y);
    if (this.cursor !== null) {
      const x = this.toX(Math.min(Math.max(this.cursor + 0.5, this.first), this.first + this.span));
      this.stroke(this.mark[0], this.mark[1], [], [[x, 0], [x, y]]);
    }
    return height;
  }

  drawLane(lane, y) {
    const { pen, left, right, stride } = this, top = y + lane.top, bottom = y + lane.bottom;
    const toY = (level) => bottom - level * (bottom - top);
    const from = Math.floor(this.first / stride);
    const to = Math.min(Math.ceil(this.frames / stride), Math.ceil((this.first + this.span) / stride) + 1);
    pen.save();
    pen.beginPath();
    pen.rect(left, y, right - left, lane.height);
    pen.clip();
    lane.paint?.(this, y);
    if (lane.gaps) this.drawGaps(lane.gaps, from, to, top, bottom);
    for (const band of lane.bands ?? []) this.drawBand(band, from, to, y);
    for (const { level, colour = "line", dash = [] } of lane.rules ?? []) {
      this.stroke(colour, 1, dash, [[left, toY(level)], [right, toY(level)]]);
    }
    if (lane.names) this.drawNames(lane.names, from, to, top, bottom);
    for (const curve of lane.curves ?? []) this.drawCurve(curve, from, to, toY);
    if (lane.box) this.stroke("line", 1, [], [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]);
    pen.restore();
    for (const [text, below, colour = "ink", align = "left"] of lane.texts ?? []) {
      pen.fillStyle = this.colour(colour);
      pen.textAlign = align;
      pen.fillText(text, align === "left" ? 2 : left - 5, y + below);
    }
    pen.textAlign = "left";
  }

  stroke(colour, width, dash, points) {
    const { pen } = this;
    pen.strokeStyle = this.colour(colour);
    pen.lineWidth = width;
    pen.setLineDash(dash);
    pen.beginPath();
    points.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.stroke();
    pen.setLineDash([]);
  }

  // Bins that share a pixel, at least one.
  shared(from, to) { return Math.max(1, Math.floor((to - from) / Math.max(1, this.right - this.left))); }

  // Runs of equal values, of `step` bins the largest: calls back with value and pixels.
  runs(at, from, to, step, back) {
    const value = (i) => {
      let most = at(i);
      for (let k = i + 1; k < Math.min(i + step, to); k++) most = Math.max(most, at(k));
      return most;
    };
    const end = (i) => Math.min(Math.max(this.toX(i * this.stride), this.left), this.right);
    for (let i = from - (from % step); i < to;) {
      const here = value(i);
      let j = i + step;
      while (j < to && value(j) === here) j += step;
      back(here, end(i), end(Math.min(j, to)));
      i = j;
    }
  }

  drawBand({ at, y: below, height, colour }, from, to, y) {
    const { pen } = this;
    this.runs(at, from, to, this.shared(from, to), (opacity, x0, x1) => {
      pen.fillStyle = this.colour(opacity < 0 ? "soft" : colour);
      if (opacity < 0) {
        for (let x = Math.ceil(x0 / 6) * 6; x < x1; x += 6) pen.fillRect(x, y + below + 2, 1.5, 1.5);
      } else if (opacity) {
        pen.globalAlpha = opacity;
        pen.fillRect(x0, y + below, Math.max(x1 - x0, 0.7), height);
        pen.globalAlpha = 1;
      }
    });
  }

  drawGaps(at, from, to, top, bottom) {
    const { pen } = this, height = bottom - top;
    this.runs(at, from, to, this.shared(from, to), (opacity, x0, x1) => {
      if (!opacity) return;
      pen.save();
      pen.beginPath();
      pen.rect(x0, top, Math.max(x1 - x0, 1), height);
      pen.clip();
      pen.globalAlpha = opacity;
      for (let x = Math.floor((x0 - height) / 5) * 5; x < x1; x += 5) {
        this.stroke("soft", 0.8, [], [[x, bottom], [x + height, top]]);
      }
      pen.restore();
    });
  }

  // Bars with as much of their names as fits; `none` is said where there is no bar in view.
  drawNames({ at, names, colours, inks, none }, from, to, top, bottom) {
    const { pen } = this, middle = (top + bottom) / 2 + 4;
    let bars = 0;
    this.runs(at, from, to, 1, (which, x0, x1) => {
      if (which < 0) return;
      bars++;
      pen.fillStyle = this.colour(colours[which]);
      pen.fillRect(x0, top, Math.max(x1 - x0, 0.5), bottom - top);
      const name = names[which], fits = (text) => x1 - x0 > pen.measureText(text).width + 4;
      pen.fillStyle = this.colour(inks[which]);
      pen.fillText([name, name.slice(0, 3), name.slice(0, 1)].find(fits) ?? "", x0 + 2, middle);
    });
    pen.fillStyle = this.colour("soft");
    if (!bars) pen.fillText(none, this.left + 8, middle);
  }

  // A line through the bins; where several share a pixel, from their lowest to their highest.
  drawCurve({ at, colour, width = 1, dash = [] }, from, to, toY) {
    const { pen, stride } = this, step = this.shared(from, to);
    pen.strokeStyle = this.colour(colour);
    pen.lineWidth = width;
    pen.setLineDash(step > 1 ? [] : dash);
    pen.beginPath();
    let down = false;
    for (let i = from - (from % step); i < to; i += step) {
      let low = Infinity, high = -Infinity;
      for (let k = i; k < Math.min(i + step, to); k++) {
        const level = at(k);
        if (level < low) low = level;
        if (level > high) high = level;
      }
      if (low > high) { down = false; continue; }
      const x = this.toX((i + step / 2) * stride);
      if (down) pen.lineTo(x, toY(low)); else pen.moveTo(x, toY(low));
      if (high > low) pen.lineTo(x, toY(high));
      down = true;
    }
    pen.stroke();
    pen.setLineDash([]);
  }

  drawAxis(y) {
    const { pen, left, right } = this;
    for (const [frame, text] of this.ticks(this)) {
      const x = this.toX(frame);
      this.stroke("line", 1, [], [[x, y], [x, y + 4]]);
      pen.fillStyle = this.colour("soft");
      pen.textAlign = x < left + 22 ? "left" : x > right - 22 ? "right" : "center";
      pen.fillText(text, x, y + 17);
    }
    pen.textAlign = "left";
    pen.fillText(this.unit, 2, y + 17);
  }
}
