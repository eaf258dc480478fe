"use strict";
// The overview of many regions: sorted by a column, and narrowed to labels or to a part of a name.
(() => {
  const table = document.querySelector("table.overview");
  const search = document.getElementById("search");
  if (!search) return;
  const found = document.getElementById("found");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const labels = [...document.querySelectorAll(".filters button")];

  function narrow() {
    const wanted = labels.filter((button) => button.ariaPressed === "true").map((button) => button.dataset.label);
    const words = search.value.trim().toLowerCase();
    for (const row of rows) {
      const isWanted = !wanted.length || wanted.includes(row.dataset.label);
      row.hidden = !isWanted || !row.cells[0].textContent.toLowerCase().includes(words);
    }
    const n = rows.filter((row) => !row.hidden).length;
    found.textContent = n === rows.length ? "" : `${n} of ${rows.length} regions`;
  }

  // Names and dates begin upwards, all else with the largest value; a second click turns it round.
  function sort(button) {
    const heading = button.parentElement;
    const isText = button.dataset.kind === "text";
    const before = heading.ariaSort ?? (isText ? "descending" : "ascending");
    const sign = before === "ascending" ? -1 : 1;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", sign < 0 ? "descending" : "ascending");
    const key = (row) => row.cells[heading.cellIndex].dataset.key;
    const compare = isText ? (a, b) => key(a).localeCompare(key(b), "en") : (a, b) => key(a) - key(b);
    body.append(...rows.sort((a, b) => sign * compare(a, b)));
  }

  for (const button of labels) {
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", button.ariaPressed !== "true");
      narrow();
    });
  }
  search.addEventListener("input", narrow);
  for (const button of table.querySelectorAll("[data-sort]")) {
    button.addEventListener("click", () => sort(button));
  }
})();
