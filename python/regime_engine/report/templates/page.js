"use strict";
(() => {
  const DAY = 86_400_000;
  const MISSING = "–";
  const config = JSON.parse(document.getElementById("theme").textContent);
  const { regionOf } = report;
  const day = document.getElementById("day");
  const views = new Map(); // element of a chart → its Vega view
  const drawings = new Map(); // element of a chart → a promise of its Vega view
  // What is shown of time: {years} up to each region's last day, {from, to} in days since 1970, or
  // {} for all.
  let span = {};
  let readAt = null; // the day that is being read, as its place in the shown region's days

  // The first and the last day that are shown of a region, in days since 1970. A stretch without a
  // day of the region shows them all.
  const daysShown = ({ days: { date } }) => {
    const [first, last] = [date[0], date.at(-1)];
    if (span.years) {
      const from = new Date(last * DAY);
      from.setUTCFullYear(from.getUTCFullYear() - span.years);
      return [Math.max(first, from.getTime() / DAY), last];
    }
    const [from, to] = [Math.max(first, span.from ?? first), Math.min(last, span.to ?? last)];
    return from <= to ? [from, to] : [first, last];
  };

  // From the start of the first day to the end of the last one.
  const rangeOf = (region) => {
    const [from, to] = daysShown(region);
    return [from * DAY, (to + 1) * DAY];
  };

  const rowsOf = (columns) =>
    (columns.date ?? []).map((_, place) => {
      const row = {};
      for (const name in columns) row[name] = columns[name][place];
      row.date *= DAY;
      return row;
    });

  const isOverTime = (element) => element.classList.contains("over-time");

  async function draw(element) {
    const region = regionOf(element);
    const spec = structuredClone(region.charts[element.dataset.chart]);
    const [from, to] = rangeOf(region);
    const values = { from, to, cursor: from - DAY, marked_from: 0, marked_to: 0 };
    // The other parameters are colours, which the style sheet has by the same names.
    for (const each of spec.params ?? []) each.value = values[each.name] ?? `var(--${each.name})`;
    if (isOverTime(element)) {
      spec.datasets = {
        days: rowsOf(region.days),
        spells: region.spells.map((spell) => ({ ...spell })),
        wealth: rowsOf(region.wealth),
      };
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

  const number = (value, digits = 0) => {
    const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
    return value == null ? MISSING : value.toLocaleString("en-US", options).replace("-", "−");
  };
  const percent = (value) => (value == null ? MISSING : `${number(100 * value, 1)}%`);
  const signed = (value) => (value > 0 ? `+${percent(value)}` : percent(value));
  const dated = (day) => new Date(day * DAY).toISOString().slice(0, 10);
  // A date as an input or the address has it → days since 1970; null if it is none.
  const dayOf = (text) => {
    const found = Date.parse(`${text}T00:00Z`) / DAY;
    return Number.isNaN(found) || dated(found) !== text ? null : found;
  };

  function factsOf(region, place) {
    const { days, labels } = region;
    const label = labels[days.label[place]];
    const chances = labels.map((_, k) => days[`p${k}`][place]);
    const facts = [["confidence", percent(days.confidence[place])]];
    if (label) labels.forEach((name, k) => facts.push([name, percent(chances[k])]));
    facts.push(["close", number(days.close[place], 2)]);
    facts.push(["drawdown", percent(days.drawdown[place])]);
    if (days.expected[place] != null) {
      facts.push(["expected volatility", percent(days.expected[place])]);
      facts.push(["came in 21 days", percent(days.came[place])]);
    }
    facts.push(["novelty", number(days.novelty[place], 1)]);
    const title = `${dated(days.date[place])} · ${label ?? "no regime"}`;
    return { title, facts, note: label ? whyNotLikeliest(region, place, chances) : null };
  }

  // Why the label is not the most probable one: it is kept, or more probable than is usual for it.
  function whyNotLikeliest({ days, labels, spells }, place, chances) {
    const likeliest = chances.indexOf(Math.max(...chances));
    const given = days.label[place];
    if (chances[likeliest] === chances[given]) return null;
    const isNew = spells.some((spell) => spell.start === days.date[place] * DAY);
    return (
      `most probable is ${labels[likeliest]} ${percent(chances[likeliest])}; ` +
      (isNew
        ? `${labels[given]} is further above its usual share`
        : `the label stays ${labels[given]} by hysteresis`)
    );
  }

  // What happened from one place to another.
  function factsOfStretch({ days, labels, thinned }, from, to) {
    const n = to - from + 1;
    const counts = [...labels, "no regime"].map(() => 0);
    for (let place = from; place <= to; place++) counts[days.label[place] ?? labels.length]++;
    const facts = [
      [thinned ? "days shown" : "trading days", number(n)],
      ["close", days.close[from] ? signed(days.close[to] / days.close[from] - 1) : MISSING],
      ...labels.map((name, k) => [name, percent(counts[k] / n)]),
    ];
    if (counts.at(-1)) facts.push(["no regime", percent(counts.at(-1) / n)]);
    return { title: `${dated(days.date[from])} to ${dated(days.date[to])}`, facts };
  }

  // Place of the value in an ascending list that is nearest to the wanted one.
  function nearest(values, wanted) {
    let low = 0;
    let high = values.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (values[middle] <= wanted) low = middle;
      else high = middle;
    }
    return wanted - values[low] <= values[high] - wanted ? low : high;
  }

  const WEALTH = { rule: "rule", market: "buy and hold", benchmark: "benchmark" };

  // Text is set as textContent: the name of a label or region is never markup.
  function say({ title, facts, note }, x, y) {
    const made = (name, text) => {
      const element = document.createElement(name);
      element.textContent = text;
      return element;
    };
    const lines = facts.map(([name, value]) => {
      const line = made("span", name);
      line.append(made("b", value));
      return line;
    });
    day.replaceChildren(made("strong", title), ...lines, ...(note ? [made("p", note)] : []));
    day.hidden = false;
    const { width, height } = day.getBoundingClientRect();
    const left = x + 16 + width > innerWidth ? x - 16 - width : x + 16;
    day.style.left = `${Math.max(4, left)}px`;
    day.style.top = `${Math.max(4, Math.min(y + 12, innerHeight - height - 4))}px`;
  }

  function readDay(element, place, x, y) {
    const region = regionOf(element);
    readAt = place;
    const said = element.dataset.chart === "wealth" ? wealthAt(region, place) : factsOf(region, place);
    say(said, x, y);
    const text = [said.title, ...said.facts.map((fact) => fact.join(" ")), said.note];
    element.setAttribute("aria-valuenow", place);
    element.setAttribute("aria-valuetext", text.filter(Boolean).join(", "));
    moveCursor(element.closest(".panel"), region.days.date[place] * DAY);
  }

  // What 1 became from the first week shown to the week that ends nearest to the day.
  function wealthAt(region, place) {
    const { days, wealth } = region;
    const [from] = daysShown(region);
    const week = nearest(wealth.date, days.date[place]);
    const facts = Object.entries(WEALTH).flatMap(([column, name]) => {
      const start = wealth[column]?.find((value, k) => wealth.date[k] >= from && value != null);
      const value = wealth.date[week] >= from ? wealth[column]?.[week] : null;
      return value == null ? [] : [[`1 in ${name}`, number(value / start, 3)]];
    });
    return { title: `week to ${dated(wealth.date[week])}`, facts };
  }

  function moveCursor(panel, milliseconds) {
    for (const [, view] of overTime(panel)) view.signal("cursor", milliseconds).runAsync();
  }

  function mark(panel, from, to) {
    for (const [, view] of overTime(panel)) {
      view.signal("marked_from", from * DAY).signal("marked_to", to * DAY).runAsync();
    }
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

  // The place of the day under the pointer.
  function placeAt(event) {
    const element = event.currentTarget;
    const view = views.get(element);
    const date = Number(view.scale("x").invert(event.clientX - originOf(element, view)));
    return nearest(regionOf(element).days.date, date / DAY);
  }

  // Of a stretch that is being drawn with the pointer: where it began, and the places of its days.
  let stretch = null;
  const CLICK = 5; // pixels: a shorter stretch is a click

  function press(event) {
    if (!views.has(event.currentTarget)) return;
    follow(event);
    // A finger reads the days, or scrolls the page.
    if (event.button !== 0 || event.pointerType === "touch") return;
    const place = placeAt(event);
    stretch = { x: event.clientX, from: place, to: place, isLong: false };
    event.currentTarget.setPointerCapture(event.pointerId);
  }

  function follow(event) {
    const element = event.currentTarget;
    if (!views.has(element)) return;
    const place = placeAt(event);
    if (stretch) stretch.isLong ||= Math.abs(event.clientX - stretch.x) >= CLICK;
    if (!stretch?.isLong) return readDay(element, place, event.clientX, event.clientY);
    stretch.to = place;
    const region = regionOf(element);
    const [from, to] = [Math.min(stretch.from, place), Math.max(stretch.from, place)];
    mark(element.closest(".panel"), region.days.date[from], region.days.date[to] + 1);
    say(factsOfStretch(region, from, to), event.clientX, event.clientY);
  }

  function release(event) {
    const element = event.currentTarget;
    if (event.type === "pointercancel") leave(element);
    if (!stretch) return;
    const { date } = regionOf(element).days;
    const [from, to] = [stretch.from, stretch.to].sort((a, b) => a - b);
    const isStretch = event.type === "pointerup" && stretch.isLong && from < to;
    drop(element);
    if (isStretch) show({ from: date[from], to: date[to] });
  }

  function drop(element) {
    stretch = null;
    mark(element.closest(".panel"), 0, 0);
    leave(element);
  }

  const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: 21, PageDown: -21, Home: -Infinity, End: Infinity };
  const ZOOMS = { "+": 0.5, "=": 0.5, "-": 2 };

  function step(event) {
    const element = event.currentTarget;
    const view = views.get(element);
    if (event.key === "Escape") drop(element);
    if (!view || event.ctrlKey || event.metaKey || event.altKey) return;
    const { date } = regionOf(element).days;
    const [first, last] = daysShown(regionOf(element));
    const [from, to] = [nearest(date, first), nearest(date, last)];
    if (event.key in ZOOMS) {
      event.preventDefault();
      zoom(date, from, to, readAt ?? to, ZOOMS[event.key]);
    }
    if (!(event.key in STEPS)) return;
    event.preventDefault();
    const place = Math.min(to, Math.max(from, (readAt ?? to) + STEPS[event.key]));
    const x = originOf(element, view) + view.scale("x")(date[place] * DAY);
    readDay(element, place, x, element.getBoundingClientRect().top + 24);
  }

  // Show a part of the days, or more of them, around a place.
  function zoom(date, from, to, around, factor) {
    const days = Math.round(Math.max(10, (to - from) * factor));
    if (days >= date.length - 1) return show({});
    const start = Math.min(Math.max(0, around - Math.round(days / 2)), date.length - 1 - days);
    show({ from: date[start], to: date[start + days] });
  }

  const columnsOf = {
    price: () => [["Label", "label"], ["Confidence", "confidence"], ["Close", "close"]],
    probabilities: ({ labels }) => labels.map((label, place) => [label, `p${place}`]),
    volatility: () => [["Expected", "expected"], ["Came", "came"]],
    wealth: ({ wealth }) =>
      [["Rule", "rule"], ["Buy and hold", "market"], ["Benchmark", "benchmark"]].filter(
        ([, column]) => column in wealth,
      ),
    drawdown: () => [["Drawdown", "drawdown"]],
    novelty: () => [["Novelty", "novelty"]],
  };
  const shown = {
    close: (value) => number(value, 2),
    novelty: (value) => number(value, 1),
    rule: (value) => number(value, 3),
    market: (value) => number(value, 3),
    benchmark: (value) => number(value, 3),
  };

  function fill(details) {
    const region = regionOf(details);
    const { labels } = region;
    const columns = columnsOf[details.dataset.table](region);
    const rows = details.dataset.table === "wealth" ? region.wealth : region.days;
    const [from, to] = daysShown(region);
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
    for (let place = rows.date.length - 1; place >= 0 && rows.date[place] >= from; place--) {
      if (rows.date[place] > to) continue;
      const row = body.insertRow();
      cell(row, "th", dated(rows.date[place])).scope = "row";
      for (const [, column] of columns) {
        const value = rows[column][place];
        if (column === "label") cell(row, "td", labels[value] ?? "no regime");
        else cell(row, "td", (shown[column] ?? percent)(value), true);
      }
    }
    const frame = details.querySelector(".scroll");
    frame.replaceChildren(table);
    cue(frame);
  }

  // Show another part of time, in all regions.
  function show(next) {
    span = next;
    for (const [element, view] of views) {
      if (!isOverTime(element)) continue;
      const [from, to] = rangeOf(regionOf(element));
      view.signal("from", from).signal("to", to).signal("cursor", from - DAY).runAsync();
    }
    document.querySelectorAll(".by-day[open]").forEach(fill);
    sayRange(report.inSight());
    report.keepRange(span.years ? `/${span.years}y` : span.to ? `/${dated(span.from)}/${dated(span.to)}` : "");
  }

  // The buttons, the dates and the note of a panel.
  function sayRange(panel) {
    if (!panel) return;
    const { days, wealth } = regionOf(panel);
    const [first, last] = daysShown({ days });
    const [from, to] = [dated(first), dated(last)];
    for (const button of panel.querySelectorAll(".ranges button")) {
      const years = Number(button.dataset.years);
      button.setAttribute("aria-pressed", years ? years === span.years : !span.years && !span.to);
    }
    for (const input of panel.querySelectorAll(".stretch input")) {
      input.value = input.name === "from" ? from : to;
      input.removeAttribute("aria-invalid");
    }
    const hasWeek = wealth.date?.some((date) => first <= date && date <= last);
    panel.querySelectorAll(".no-weeks").forEach((text) => (text.hidden = hasWeek));
    const isOutside = span.from > days.date.at(-1) || span.to < days.date[0];
    const asked = isOutside ? `${dated(span.from)} to ${dated(span.to)}` : "";
    note(panel, asked && `${panel.dataset.name} has no day from ${asked}, so all its days are shown.`);
  }

  const note = (panel, text) => {
    panel.querySelector(".range-note").textContent = text;
  };

  report.whenRangeIsRead((parts) => {
    const years = /^([1-9]\d?)y$/.exec(parts[0])?.[1];
    const [from, to] = parts.map(dayOf);
    if (parts.length === 1 && years) span = { years: Number(years) };
    else if (parts.length === 2 && from != null && to != null && from <= to) span = { from, to };
    else span = {};
  });

  function watchDates(panel) {
    const inputs = [...panel.querySelectorAll(".stretch input")];
    const [from, to] = inputs;
    const refuse = (input, text) => {
      input.setAttribute("aria-invalid", "true");
      note(panel, text);
    };
    for (const input of inputs) {
      // While a year is typed, its first digits are years too: these are out of the region's days.
      input.addEventListener("change", () => {
        if (!input.validity.valid || !input.value) return;
        if (from.value > to.value) refuse(input, `${from.value} is after ${to.value}.`);
        else show({ from: dayOf(from.value), to: dayOf(to.value) });
      });
      input.addEventListener("blur", () => {
        if (input.validity.valid && input.value) return;
        refuse(input, `Choose a day from ${input.min} to ${input.max}.`);
      });
    }
  }

  // A table that goes on says so where it is cut: the style sheet lets it fade out.
  const cue = (frame) => {
    const [wide, high] = [frame.scrollWidth - frame.clientWidth, frame.scrollHeight - frame.clientHeight];
    frame.classList.toggle("is-wider", wide > 1);
    frame.classList.toggle("more-right", wide - frame.scrollLeft > 1);
    frame.classList.toggle("more-below", high - frame.scrollTop > 1);
  };
  const resized = new ResizeObserver((entries) => entries.forEach(({ target }) => cue(target)));

  function watchFrames(root) {
    for (const frame of root.querySelectorAll(".scroll")) {
      resized.observe(frame);
      frame.addEventListener("scroll", () => cue(frame), { passive: true });
    }
  }

  report.whenOpened((panel) => {
    const charts = [...panel.querySelectorAll(".chart")];
    charts.forEach((chart) => nearby.observe(chart));
    for (const element of charts.filter(isOverTime)) {
      element.addEventListener("pointerdown", press);
      element.addEventListener("pointermove", follow);
      element.addEventListener("pointerup", release);
      element.addEventListener("pointercancel", release);
      // What a finger read stays when it is lifted, until it touches something else.
      element.addEventListener("pointerleave", (event) => {
        if (!stretch && event.pointerType !== "touch") leave(element);
      });
      element.addEventListener("dblclick", () => show({}));
      element.addEventListener("keydown", step);
      element.addEventListener("blur", () => drop(element));
    }
    for (const details of panel.querySelectorAll(".by-day")) {
      details.addEventListener("toggle", () => details.open && fill(details));
    }
    for (const button of panel.querySelectorAll(".ranges button")) {
      const years = Number(button.dataset.years);
      button.addEventListener("click", () => show(years ? { years } : {}));
    }
    watchDates(panel);
    watchFrames(panel);
  });

  document.addEventListener("pointerdown", (event) => {
    if (!event.target.closest(".over-time")) day.hidden = true;
  });

  report.whenShown((panel) => {
    day.hidden = true;
    readAt = null;
    if (panel) show(span);
  });

  report.start();
})();
