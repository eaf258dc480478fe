"use strict";
// The regions of the report: which one is in sight, and their numbers.
const report = (() => {
  const byId = (id) => document.getElementById(id);
  const panels = [...document.querySelectorAll(".panel")];
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const overview = byId("overview");
  const choose = byId("choose");
  const regions = []; // by place: the numbers of a region that was opened
  const whenOpened = []; // what is done with a panel that is opened for the first time
  const whenShown = []; // what is done with a panel that comes into sight
  let shown = null; // the place of the region in sight; null: the overview
  let wanted = null; // the place that was asked for last, which may take a while to unpack
  let range = ""; // of time, as the address has it behind the region
  let readRange = () => {}; // what is done with the range of an address

  // A column is written as its number of digits and the steps from value to value.
  const column = ([digits, steps]) => {
    let units = 0;
    return steps.split(",").map((step) => (step ? (units += Number(step)) / 10 ** digits : null));
  };

  function unfold(region) {
    for (const columns of [region.days, region.wealth]) {
      for (const name in columns) columns[name] = column(columns[name]);
    }
    const { days } = region;
    days.confidence ??= days.label.map((label, place) => (label === null ? null : days[`p${label}`][place]));
    return region;
  }

  async function decompressed(id) {
    const bytes = Uint8Array.from(atob(byId(id).textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).json();
  }

  // What draws the charts is packed too: the overview does without it.
  let first; // a promise of the lines of the first region, and of what draws
  async function unpack(place) {
    first ??= Promise.all([decompressed("region-0"), decompressed("bundle").then((0, eval))]);
    const [lines] = await first;
    if (!place) return JSON.parse(lines.join("\n"));
    const parts = await decompressed(`region-${place}`);
    const own = parts.map((part) => (typeof part === "string" ? part : lines.slice(...part).join("\n")));
    return JSON.parse(own.join("\n"));
  }

  // A region that is not packed is there at once, so that it can be printed without a wait.
  async function open(place) {
    if (regions[place]) return;
    const kept = byId(`region-${place}`);
    if (kept.type === "application/json") {
      regions[place] = unfold(JSON.parse(kept.textContent));
    } else {
      const { panel, ...region } = await unpack(place);
      if (regions[place]) return;
      panels[place].innerHTML = panel.join("\n");
      regions[place] = unfold(region);
    }
    whenOpened.forEach((act) => act(panels[place]));
  }

  // place: of the region; null: the overview
  async function show(place) {
    wanted = place;
    if (place !== null) await open(place);
    if (place !== wanted) return;
    shown = place;
    if (overview) overview.hidden = place !== null;
    panels.forEach((panel, k) => (panel.hidden = k !== place));
    tabs.forEach((tab, k) => {
      tab.setAttribute("aria-selected", k === place);
      tab.tabIndex = k === place ? 0 : -1;
    });
    if (choose) choose.value = place ?? "";
    whenShown.forEach((act) => act(panels[place] ?? null));
    // A chart that was hidden while the window changed its size is drawn anew.
    dispatchEvent(new Event("resize"));
  }

  const address = (place) =>
    place === null ? "#overview" : `#${encodeURIComponent(panels[place].dataset.name)}${range}`;

  // Keep the range of time in the address: #US, #US/3y, #US/2008-01-01/2009-12-31.
  function keepRange(wanted) {
    range = wanted;
    if (shown !== null) history.replaceState(null, "", address(shown));
  }

  function go(place) {
    history.pushState(null, "", address(place));
    return show(place);
  }

  // Show what the address is about; at the start, and where it ends without a name, the first thing.
  function follow(isStart) {
    const [name, ...rest] = location.hash.slice(1).split("/").map(decoded);
    const place = panels.findIndex((panel) => panel.dataset.name === name || panel.id === name);
    const isOverview = overview && name === "overview";
    byId("note").textContent =
      !name || isOverview || place >= 0 || byId(name) ? "" : `This report has no region ${name}.`;
    if (isOverview) return show(null);
    if (place < 0 && name && !isStart) return;
    if (place < 0) return show(overview && !tabs.length ? null : 0);
    readRange(rest);
    return show(place);
  }

  // An address that someone cut or mistyped may not be in percent-encoding.
  function decoded(text) {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  }

  tabs.forEach((tab, place) => {
    tab.addEventListener("click", () => go(place));
    tab.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: tabs.length - 1 };
      if (!(event.key in steps)) return;
      event.preventDefault();
      const next = (steps[event.key] + tabs.length) % tabs.length;
      go(next);
      tabs[next].focus();
    });
  });
  for (const link of document.querySelectorAll("[data-opens]")) {
    link.addEventListener("click", async (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      await go(Number(link.dataset.opens));
      scrollTo(0, 0);
    });
  }
  choose?.addEventListener("change", () => go(choose.value ? Number(choose.value) : null));
  byId("to-overview")?.addEventListener("click", (event) => {
    event.preventDefault();
    go(null);
  });
  addEventListener("popstate", () => follow(false));

  // The anchors within a region lead there, and leave the address as it is.
  document.addEventListener("click", (event) => {
    const anchor = event.target.closest('a[href^="#"]');
    const target = anchor && byId(anchor.hash.slice(1));
    if (!target || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    target.scrollIntoView();
    target.focus({ preventScroll: true });
  });

  const start = () => follow(true);

  return {
    panels,
    open,
    start,
    keepRange,
    inSight: () => panels[shown] ?? null,
    whenRangeIsRead: (act) => (readRange = act),
    regionOf: (element) => regions[Number(element.closest(".panel").dataset.region)],
    whenOpened: (act) => whenOpened.push(act),
    whenShown: (act) => whenShown.push(act),
  };
})();
