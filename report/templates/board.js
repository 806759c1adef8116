"use strict";
(() => {
  const board = document.getElementById("board");
  if (!board) return;
  const heads = [...board.tHead.rows[0].cells];
  const body = board.tBodies[0];
  const split = document.getElementById("by-split");
  const group = document.getElementById("by-group");
  const name = document.getElementById("by-name");

  function filter() {
    const wanted = name.value.trim().toLowerCase();
    for (const row of body.rows) {
      const label = row.cells[0].textContent.toLowerCase();
      row.hidden = row.dataset.split !== split.value || !label.includes(wanted);
    }
    heads.forEach((head, k) => {
      const hide = k > 0 && group.value !== "" && head.dataset.group !== group.value;
      head.hidden = hide;
      for (const row of body.rows) row.cells[k].hidden = hide;
    });
  }

  function value(row, k) {
    if (k === 0) return row.cells[0].textContent;
    const text = row.cells[k].dataset.value;
    return text === "" ? null : Number(text);
  }

  function sort(k) {
    const head = heads[k];
    const best = head.dataset.down === "1" || k === 0 ? "ascending" : "descending";
    const other = best === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === best ? other : best;
    heads.forEach((h) => h.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const rows = [...body.rows].sort((a, b) => {
      const x = value(a, k), y = value(b, k);
      if (x === null || y === null) return (x === null) - (y === null);
      return sign * (typeof x === "string" ? x.localeCompare(y) : x - y);
    });
    body.append(...rows);
  }

  heads.forEach((head, k) => head.firstElementChild.addEventListener("click", () => sort(k)));
  for (const control of [split, group]) control.addEventListener("change", filter);
  name.addEventListener("input", filter);
  filter();
})();
(() => {
  // A print has every table: folded ones are opened for it and folded again.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const part of folded) part.open = true;
  });
  addEventListener("afterprint", () => folded.forEach((part) => { part.open = false; }));
})();
