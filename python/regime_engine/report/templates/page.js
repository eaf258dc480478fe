"use strict";
(() => {
  const DAY = 86_400_000;
  const MISSING = "–";
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const config = read("theme");
  const { regionOf, panels } = report;
  const day = document.getElementById("day");
  const drawings = new Map(); // element of a chart → a promise of its Vega view
  const views = new Map(); // element of a chart → its Vega view
  let years = 0; // how many years are shown, up to each region's last day; 0: all
  let readAt = null; // the day that is being read, as its place in the shown region's days

  // From the start of the first day to the end of the last one.
  const rangeOf = ({ days: { date } }) => {
    const last = date.at(-1) * DAY;
    const first = date[0] * DAY;
    if (!years) return [first, last + DAY];
    const from = new Date(last);
    from.setUTCFullYear(from.getUTCFullYear() - years);
    return [Math.max(first, from.getTime()), last + DAY];
  };

  const rowsOf = ({ days }) =>
    days.date.map((_, place) => {
      const row = {};
      for (const name in days) row[name] = days[name][place];
      row.date *= DAY;
      return row;
    });

  const isOverTime = (element) => element.classList.contains("over-time");

  async function draw(element) {
    const region = regionOf(element);
    const spec = structuredClone(region.charts[element.dataset.chart]);
    const [from, to] = rangeOf(region);
    const values = { from, to, cursor: from - DAY, panel: "var(--panel)", ink: "var(--text)" };
    for (const parameter of spec.params ?? []) parameter.value = values[parameter.name];
    if (isOverTime(element)) {
      spec.datasets = { days: rowsOf(region), spells: region.spells.map((spell) => ({ ...spell })) };
    }
    const { view } = await vegaEmbed(element, spec, {
      actions: false,
      config: { ...config, aria: false },
      defaultStyle: false,
      renderer: "svg",
      tooltip: { disableDefaultStyle: true, theme: "report" },
    });
    views.set(element, view);
  }

  // A chart is drawn once: its colours are those of the style sheet.
  function drawn(element) {
    if (!drawings.has(element)) drawings.set(element, draw(element));
    return drawings.get(element);
  }

  report.drawn = drawn;

  const nearby = new IntersectionObserver(
    async (entries) => {
      for (const { target } of entries.filter((entry) => entry.isIntersecting)) {
        nearby.unobserve(target);
        await drawn(target);
      }
      if (!document.documentElement.dataset.drawn) {
        document.documentElement.dataset.drawn = "true";
        performance.mark("drawn");
      }
    },
    { rootMargin: "200px" },
  );

  const overTime = (panel) =>
    [...views].filter(([element]) => isOverTime(element) && panel.contains(element));

  const number = (value, digits = 0) =>
    value == null
      ? MISSING
      : value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const percent = (value) => (value == null ? MISSING : `${number(100 * value, 1)}%`);
  const dated = (milliseconds) => new Date(milliseconds).toISOString().slice(0, 10);

  function factsOf({ days, labels }, place) {
    const label = labels[days.label[place]];
    const facts = [["confidence", percent(days.confidence[place])]];
    if (label) labels.forEach((name, k) => facts.push([name, percent(days[`p${k}`][place])]));
    facts.push(["close", number(days.close[place], 2)]);
    facts.push(["drawdown", percent(days.drawdown[place])]);
    if (days.expected[place] != null) {
      facts.push(["expected volatility", percent(days.expected[place])]);
      facts.push(["came in 21 days", percent(days.came[place])]);
    }
    facts.push(["novelty", number(days.novelty[place], 1)]);
    return { title: `${dated(days.date[place] * DAY)} · ${label ?? "no regime"}`, facts };
  }

  function nearest(dates, milliseconds) {
    const wanted = milliseconds / DAY;
    let low = 0;
    let high = dates.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (dates[middle] <= wanted) low = middle;
      else high = middle;
    }
    return wanted - dates[low] <= dates[high] - wanted ? low : high;
  }

  // Text is set as textContent: the name of a label or region is never markup.
  function readDay(element, place, x, y) {
    const region = regionOf(element);
    readAt = place;
    const { title, facts } = factsOf(region, place);
    const heading = document.createElement("strong");
    heading.textContent = title;
    const lines = facts.map(([name, value]) => {
      const line = document.createElement("span");
      const figure = document.createElement("b");
      figure.textContent = value;
      line.append(name, figure);
      return line;
    });
    day.replaceChildren(heading, ...lines);
    day.hidden = false;
    const { width, height } = day.getBoundingClientRect();
    const left = x + 16 + width > innerWidth ? x - 16 - width : x + 16;
    day.style.left = `${Math.max(4, left)}px`;
    day.style.top = `${Math.max(4, Math.min(y + 12, innerHeight - height - 4))}px`;
    element.setAttribute("aria-valuenow", place);
    element.setAttribute("aria-valuetext", [title, ...facts.map((fact) => fact.join(" "))].join(", "));
    moveCursor(element.closest(".panel"), region.days.date[place] * DAY);
  }

  function moveCursor(panel, milliseconds) {
    for (const [, view] of overTime(panel)) view.signal("cursor", milliseconds).runAsync();
  }

  function leave(element) {
    day.hidden = true;
    readAt = null;
    moveCursor(element.closest(".panel"), regionOf(element).days.date[0] * DAY - DAY);
  }

  // The left end of the time axis, in pixels of the window.
  function originOf(element, view) {
    const { left } = element.querySelector("svg").getBoundingClientRect();
    return left + view.padding().left + view.origin()[0];
  }

  function follow(event) {
    const element = event.currentTarget;
    const view = views.get(element);
    if (!view) return;
    const date = view.scale("x").invert(event.clientX - originOf(element, view));
    readDay(element, nearest(regionOf(element).days.date, Number(date)), event.clientX, event.clientY);
  }

  const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: 21, PageDown: -21, Home: -Infinity, End: Infinity };

  function step(event) {
    const element = event.currentTarget;
    const view = views.get(element);
    if (event.key === "Escape") leave(element);
    if (!view || !(event.key in STEPS)) return;
    event.preventDefault();
    const { days: { date } } = regionOf(element);
    const [from, to] = rangeOf(regionOf(element)).map((milliseconds) => nearest(date, milliseconds));
    const place = Math.min(to, Math.max(from, (readAt ?? to) + STEPS[event.key]));
    const x = originOf(element, view) + view.scale("x")(date[place] * DAY);
    readDay(element, place, x, element.getBoundingClientRect().top + 24);
  }

  const columnsOf = {
    price: () => [["Label", "label"], ["Confidence", "confidence"], ["Close", "close"]],
    probabilities: ({ labels }) => labels.map((label, place) => [label, `p${place}`]),
    volatility: () => [["Expected", "expected"], ["Came", "came"]],
    drawdown: () => [["Drawdown", "drawdown"]],
    novelty: () => [["Novelty", "novelty"]],
  };
  const shown = { close: (value) => number(value, 2), novelty: (value) => number(value, 1) };

  function fill(details) {
    const region = regionOf(details);
    const { days, labels } = region;
    const columns = columnsOf[details.dataset.table](region);
    const [from] = rangeOf(region);
    const table = document.createElement("table");
    const cell = (row, name, text, isNumber) => {
      const made = document.createElement(name);
      made.textContent = text;
      if (isNumber) made.className = "n";
      row.append(made);
      return made;
    };
    const head = table.createTHead().insertRow();
    for (const [name, column] of [["Date", "date"], ...columns]) {
      cell(head, "th", name, !["date", "label"].includes(column)).scope = "col";
    }
    const body = table.createTBody();
    for (let place = days.date.length - 1; place >= 0 && days.date[place] * DAY >= from; place--) {
      const row = body.insertRow();
      cell(row, "th", dated(days.date[place] * DAY)).scope = "row";
      for (const [, column] of columns) {
        const value = days[column][place];
        if (column === "label") cell(row, "td", labels[value] ?? "no regime");
        else cell(row, "td", (shown[column] ?? percent)(value), true);
      }
    }
    details.querySelector(".scroll").replaceChildren(table);
  }

  const ranges = (root) => [...root.querySelectorAll(".ranges button")];
  const press = (root) =>
    ranges(root).forEach((each) => each.setAttribute("aria-pressed", Number(each.dataset.years) === years));

  function setRange(wanted) {
    years = wanted;
    press(document);
    for (const [element, view] of views) {
      if (!isOverTime(element)) continue;
      const [from, to] = rangeOf(regionOf(element));
      view.signal("from", from).signal("to", to).signal("cursor", from - DAY).runAsync();
    }
    document.querySelectorAll(".by-day[open]").forEach(fill);
  }

  report.whenOpened((panel) => {
    const charts = [...panel.querySelectorAll(".chart")];
    charts.forEach((chart) => nearby.observe(chart));
    for (const element of charts.filter(isOverTime)) {
      element.addEventListener("pointermove", follow);
      element.addEventListener("pointerdown", follow);
      element.addEventListener("pointerleave", () => leave(element));
      element.addEventListener("keydown", step);
      element.addEventListener("blur", () => leave(element));
    }
    for (const details of panel.querySelectorAll(".by-day")) {
      details.addEventListener("toggle", () => details.open && fill(details));
    }
    for (const button of ranges(panel)) {
      button.addEventListener("click", () => setRange(Number(button.dataset.years)));
    }
    press(panel);
  });

  report.whenShown(() => {
    day.hidden = true;
    readAt = null;
  });

  report.start();
})();
