"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Metric: one comparison is shown at a time.
  for (const input of all('input[name="metric"]')) {
    input.addEventListener("change", () => {
      for (const part of all(".by-metric")) part.hidden = part.dataset.metric !== input.value;
    });
  }

  // Tables: a click or Enter on a head sorts, numbers first downwards; cells without a value go last.
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    const value = cell.dataset.value;
    return value === undefined ? cell.textContent : value === "" ? null : Number(value);
  };
  const sort = (table, column, direction) => {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [valueOf(row, column), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      const order = typeof a === "number" ? a - b : compare(a, b);
      return direction === "ascending" ? order : -order;
    });
    body.append(...rows.map(([, row]) => row));
  };
  for (const button of all(".sort")) {
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const table = head.closest("table");
      const before = head.getAttribute("aria-sort");
      const first = table.tBodies[0].rows[0];
      const isNumber = first && first.cells[head.cellIndex].dataset.value !== undefined;
      const direction = before
        ? { ascending: "descending", descending: "ascending" }[before]
        : isNumber ? "descending" : "ascending";
      for (const other of all("th[aria-sort]", table)) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", direction);
      sort(table, head.cellIndex, direction);
    });
  }

  // Filters: rows that hold every word.
  for (const input of all(".filter input")) {
    const sheet = input.closest(".sheet");
    const rows = [...sheet.querySelector("tbody").rows];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const count = sheet.querySelector(".count");
    const apply = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, i) => {
        row.hidden = !words.every((word) => texts[i].includes(word));
        shown += !row.hidden;
      });
      count.textContent = `${shown} of ${rows.length}`;
    };
    input.addEventListener("input", apply);
    apply();
  }

  // Tables that are wider than the page say so, below them.
  const measure = () => {
    for (const part of all(".scroll")) {
      part.parentElement.classList.toggle("wider", part.scrollWidth > part.clientWidth + 1);
    }
  };
  addEventListener("resize", measure);
  for (const part of all("details")) part.addEventListener("toggle", measure);
  for (const input of all('input[name="metric"]')) input.addEventListener("change", measure);
  measure();

  // Lines of the parallel coordinates can be reached with Tab, where these are not too many.
  for (const chart of all(".coordinates")) {
    const lines = all(".parallel", chart);
    if (lines.length <= 60) for (const line of lines) line.setAttribute("tabindex", "0");
  }

  // Pictures: the whole one in a dialog, which Escape closes.
  const dialog = document.getElementById("large");
  const large = dialog.querySelector("div");
  for (const button of all(".enlarge")) {
    button.addEventListener("click", () => {
      large.replaceChildren(button.querySelector(".layers").cloneNode(true));
      dialog.showModal();
    });
  }
  dialog.querySelector("button").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

  // Theme: the system's, until told otherwise.
  const theme = document.getElementById("theme");
  const themes = ["system", "light", "dark"];
  let chosen = 0;
  theme.addEventListener("click", () => {
    chosen = (chosen + 1) % themes.length;
    if (chosen) document.documentElement.dataset.theme = themes[chosen];
    else delete document.documentElement.dataset.theme;
    theme.textContent = `Theme: ${themes[chosen]}`;
  });
})();
