"use strict";
// Print: all charts of what is printed are drawn in the width of the paper before it is laid out.
// What is drawn here waits for nothing but promises that are kept: they are done when the event is.
(() => {
  const root = document.documentElement;

  async function prepare() {
    root.classList.add("printing");
    dispatchEvent(new Event("resize"));
    const printed = report.panels.filter((panel) => panel.checkVisibility());
    for (const panel of printed) await report.open(Number(panel.dataset.region));
    const charts = printed.flatMap((panel) => [...panel.querySelectorAll(".chart")]);
    await Promise.all(charts.map(report.drawn));
    dispatchEvent(new Event("resize"));
  }

  addEventListener("beforeprint", prepare);
  addEventListener("afterprint", () => {
    root.classList.remove("printing");
    dispatchEvent(new Event("resize"));
  });
})();
