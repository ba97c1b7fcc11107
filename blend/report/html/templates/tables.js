// Tables are sorted by a click on a column's name, or Enter: numbers from the largest down, words from a to z, and back.
"use strict";
(() => {
  const parse = (cell) => {
    const text = cell?.textContent.trim() ?? "", found = text.replaceAll(",", "").match(/^-?[\d.]+/);
    return found ? Number(found[0]) : text;
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return b - a;
    if (typeof a === "number" || typeof b === "number") return typeof a === "number" ? -1 : 1; // not defined: last
    return a.localeCompare(b);
  };
  for (const table of document.querySelectorAll("main .wide > table:not(.heat)")) {
    const body = table.tBodies[0], headers = [...(table.tHead?.rows[0]?.cells ?? [])];
    if (!body || body.rows.length < 3) continue;
    headers.forEach((header, column) => {
      const button = document.createElement("button");
      button.className = "sort";
      button.append(...header.childNodes);
      if (!button.textContent.trim()) button.ariaLabel = "name";
      header.append(button);
      button.addEventListener("click", () => {
        const turned = header.dataset.sorted === "once";
        const rows = [...body.rows].map((row) => [parse(row.cells[column]), row]);
        rows.sort(([a], [b]) => (turned && typeof a === typeof b ? compare(b, a) : compare(a, b)));
        for (const other of headers) { other.removeAttribute("aria-sort"); delete other.dataset.sorted; }
        header.dataset.sorted = turned ? "twice" : "once";
        header.ariaSort = (typeof rows[0][0] === "number") !== turned ? "descending" : "ascending";
        body.append(...rows.map(([, row]) => row));
      });
    });
  }
})();
