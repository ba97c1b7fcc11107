// Charts say the number that is nearest to the mouse or finger; with the focus, the arrow keys step through all of them.
"use strict";
(() => {
  const NEAR = 30; // pixels
  const box = document.createElement("p"), name = document.createElement("span"), number = document.createElement("b");
  const charts = document.querySelectorAll("svg.chart:has(> script)");
  const ring = document.createElementNS(charts[0]?.namespaceURI ?? null, "circle");
  Object.assign(box, { id: "tip", role: "status", hidden: true });
  box.append(name, " ", number);
  document.body.append(box);
  ring.id = "tip-ring";
  ring.setAttribute("r", 4.5);
  const hide = () => { box.hidden = true; ring.remove(); };

  for (const svg of charts) {
    let tips = null, at = -1;
    const place = () => svg.getBoundingClientRect();
    const scale = () => place().width / svg.viewBox.baseVal.width;
    const read = () => (tips ??= JSON.parse(svg.querySelector("script").textContent));
    const show = (i) => {
      at = i;
      const [x, y, what, value, key] = read()[i], { left, top } = place(), room = document.documentElement.clientWidth;
      [name.textContent, number.textContent, box.dataset.place, box.hidden] = [what, value, key, false];
      ring.setAttribute("cx", x);
      ring.setAttribute("cy", y);
      svg.append(ring);
      box.style.left = "0";
      const { width, height } = box.getBoundingClientRect(), above = top + y * scale() - height - 10;
      box.style.left = `${scrollX + Math.max(4, Math.min(left + x * scale() - width / 2, room - width - 4))}px`;
      box.style.top = `${scrollY + (above > 0 ? above : top + y * scale() + 14)}px`;
    };
    const point = (event) => {
      const { left, top } = place(), far = ([x, y]) =>
        Math.hypot(left + x * scale() - event.clientX, top + y * scale() - event.clientY);
      let best = -1, least = NEAR;
      read().forEach((tip, i) => { if (far(tip) < least) [best, least] = [i, far(tip)]; });
      if (best < 0) hide(); else show(best);
    };
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
    svg.setAttribute("tabindex", "0");
    svg.addEventListener("pointermove", point);
    svg.addEventListener("pointerdown", point);
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      if (event.key === "Escape") hide();
      if (!Object.hasOwn(steps, event.key)) return;
      event.preventDefault();
      show(Math.min(Math.max(at + steps[event.key], 0), read().length - 1));
    });
  }
})();
