// Draws the report's timeline on its canvas. `view` says what is in view: data, first(), span(), toX(), gutter(), cursor.
"use strict";
function painter(canvas, about, view) {
  const context = canvas.getContext("2d");
  const outputs = about.outputs, count = outputs.length, isVa = about.low < 0;
  const ON = 2, PARTLY = 1, UNKNOWN = 3, NOT_ANNOTATED = 255;
  const FACE = 48, AXIS = 24;
  const laneHeight = isVa ? 170 : count > 8 ? 54 : 60;
  const { first, span, toX, gutter, RIGHT } = view;
  let data = null;

  let colours = {};
  function readColours() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["ink", "soft", "line", "paper", "s0", "s1", "s2", "s3"]) {
      colours[name] = style.getPropertyValue(`--${name}`).trim();
    }
  }

  // Everything in view, `width` pixels wide, with the curves of head `head` (-1: none); returns the height.
  function draw(width, head) {
    data = view.data;
    const top = data.faces ? FACE + 8 : 0;
    const height = top + laneHeight * count + AXIS, ratio = window.devicePixelRatio || 1;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = `11.5px ${getComputedStyle(document.body).fontFamily}`;
    const from = Math.max(0, Math.floor(first() / about.stride));
    const to = Math.min(data.bins, Math.ceil((first() + span()) / about.stride) + 1);
    if (data.faces) drawFaces();
    for (let c = 0; c < count; c++) drawLane(c, top + c * laneHeight, from, to, head);
    drawAxis(top + laneHeight * count, width);
    if (view.cursor !== null) drawCursor(height - AXIS);
    return height;
  }

  function drawFaces() {
    let free = gutter();
    data.faces.at.forEach((frame, i) => {
      const x = Math.min(Math.max(toX(frame - 0.5) - FACE / 2, gutter()), canvas.clientWidth - RIGHT - FACE);
      if (frame < first() || frame > first() + span() + 1 || x < free) return;
      context.drawImage(data.faces.picture, i * FACE, 0, FACE, FACE, x, 2, FACE, FACE);
      free = x + FACE + 2;
    });
  }

  // Runs of equal values of a row: calls back with value and pixels.
  function runs(row, from, to, back) {
    for (let i = from; i < to;) {
      let j = i + 1;
      while (j < to && row[j] === row[i]) j++;
      back(row[i], Math.max(toX(i * about.stride), gutter()), Math.min(toX(j * about.stride), canvas.clientWidth - RIGHT));
      i = j;
    }
  }

  function band(row, from, to, y, colour) {
    runs(row, from, to, (state, x0, x1) => {
      if (state === ON || state === PARTLY) {
        context.globalAlpha = state === ON ? 1 : 0.45;
        context.fillStyle = colours[colour];
        context.fillRect(x0, y, Math.max(x1 - x0, 0.7), 5);
        context.globalAlpha = 1;
      } else if (state === UNKNOWN) {
        context.fillStyle = colours.soft;
        for (let x = Math.ceil(x0 / 6) * 6; x < x1; x += 6) context.fillRect(x, y + 2, 1.5, 1.5);
      }
    });
  }

  function drawLane(c, y, from, to, h) {
    const left = gutter(), right = canvas.clientWidth - RIGHT;
    const bottom = y + laneHeight - 6, roof = isVa ? y + 8 : y + 17;
    const height = bottom - roof, toY = (level) => bottom - (level / (isVa ? 200 : 100)) * height;
    context.save();
    context.beginPath();
    context.rect(left, y, right - left, laneHeight);
    context.clip();
    gaps(from, to, roof, bottom);
    context.strokeStyle = colours.line;
    for (const level of isVa ? [0, 100, 200] : [0, 100]) rule(left, right, toY(level), []);
    if (about.thresholds) {
      context.strokeStyle = colours.s1;
      rule(left, right, toY(about.thresholds[c] * 100), [4, 3]);
    }
    if (h >= 0) curve(data.heads[h][c], from, to, toY, colours.s3, 1, [3, 2]);
    if (isVa) curve(data.truth[c], from, to, toY, colours.s2, 1.6, [7, 2], NOT_ANNOTATED);
    curve(data.blend[c], from, to, toY, colours.s0, 1.5, []);
    if (!isVa) {
      band(data.truth[c], from, to, y + 3, "s2");
      band(data.decided[c], from, to, y + 9.5, "s1");
    }
    context.restore();
    context.fillStyle = colours.ink;
    context.textAlign = "left";
    context.fillText(outputs[c], 2, isVa ? y + laneHeight / 2 : y + 15);
    if (about.thresholds) {
      context.fillStyle = colours.soft;
      context.fillText(`≥ ${about.thresholds[c].toFixed(2)}`, 2, y + 31);
    }
    if (isVa) {
      context.fillStyle = colours.soft;
      context.textAlign = "right";
      for (const level of [0, 100, 200]) context.fillText(String(level / 100 - 1), left - 5, toY(level) + 4);
    }
  }

  function rule(x0, x1, y, dash) {
    context.setLineDash(dash);
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x0, y);
    context.lineTo(x1, y);
    context.stroke();
    context.setLineDash([]);
  }

  function gaps(from, to, roof, bottom) {
    runs(data.present, from, to, (state, x0, x1) => {
      if (state === ON) return;
      context.save();
      context.beginPath();
      context.rect(x0, roof, Math.max(x1 - x0, 1), bottom - roof);
      context.clip();
      context.strokeStyle = colours.soft;
      context.globalAlpha = state === PARTLY ? 0.25 : 0.5;
      context.lineWidth = 0.8;
      context.beginPath();
      const height = bottom - roof;
      for (let x = Math.floor((x0 - height) / 5) * 5; x < x1; x += 5) {
        context.moveTo(x, bottom);
        context.lineTo(x + height, roof);
      }
      context.stroke();
      context.restore();
    });
  }

  // A line through the bins in view; where several share a pixel, from their lowest to their highest.
  function curve(row, from, to, toY, colour, width, dash, unknown = -1) {
    const perPixel = (to - from) / Math.max(1, canvas.clientWidth - gutter());
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.setLineDash(perPixel > 1.5 ? [] : dash);
    context.beginPath();
    let pen = false;
    const step = perPixel > 1.5 ? Math.floor(perPixel) : 1;
    for (let i = from - (from % step); i < to; i += step) {
      let low = 256, high = -1;
      for (let j = i; j < Math.min(i + step, data.bins); j++) {
        if (row[j] === unknown) continue;
        if (row[j] < low) low = row[j];
        if (row[j] > high) high = row[j];
      }
      if (high < 0) { pen = false; continue; }
      const x = toX((i + step / 2) * about.stride);
      if (pen) context.lineTo(x, toY(low)); else context.moveTo(x, toY(low));
      if (high > low) context.lineTo(x, toY(high));
      pen = true;
    }
    context.stroke();
    context.setLineDash([]);
  }

  function drawAxis(y, width) {
    const room = width - gutter() - RIGHT, rough = (span() / room) * 80;
    const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
    const step = Math.max(1, [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough));
    context.fillStyle = colours.soft;
    context.strokeStyle = colours.line;
    context.textAlign = "center";
    for (let frame = Math.ceil(first() / step) * step; frame <= first() + span(); frame += step) {
      const x = toX(frame - 0.5);
      if (frame < 1 || x < gutter() + 8 || x > width - RIGHT - 14) continue;
      context.beginPath();
      context.moveTo(x, y);
      context.lineTo(x, y + 4);
      context.stroke();
      context.fillText(frame.toLocaleString("en"), x, y + 17);
    }
    context.textAlign = "left";
    context.fillText("frame", 2, y + 17);
  }

  function drawCursor(height) {
    const x = toX(view.cursor + 0.5);
    context.strokeStyle = colours.ink;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, height);
    context.stroke();
  }

  readColours();
  return { draw, readColours };
}
