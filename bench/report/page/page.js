"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const cells = new Map(data.cells.map((cell) => [cell.id, cell]));
  const by = (id) => document.getElementById(id);
  const make = (name, text, attributes = {}) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };

  // --- sorting and filtering ---
  const table = by("results");
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    const button = make("button", header.textContent, { type: "button" });
    header.textContent = "";
    header.append(button);
    button.addEventListener("click", () => {
      const down = header.getAttribute("aria-sort") === "ascending";
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
      const rows = [...body.rows].map((row, at) => [row, key(row), at]);
      rows.sort(([, one, a], [, other, b]) => {
        const numbers = one !== "" && other !== "" && !isNaN(one) && !isNaN(other);
        const order = numbers ? Number(one) - Number(other) : one.localeCompare(other);
        return (down ? -order : order) || a - b;
      });
      body.append(...rows.map(([row]) => row));
    });
  });
  const filters = by("filters");
  const chosen = {};
  const apply = () => {
    let shown = 0;
    for (const row of body.rows) {
      row.hidden = ["host", "translator"].some((key) => chosen[key] && row.dataset[key] !== chosen[key]);
      shown += !row.hidden;
    }
    headers.forEach((header, column) => {
      const hide = Boolean(chosen.scenario && header.dataset.scenario && header.dataset.scenario !== chosen.scenario);
      for (const row of table.rows) row.cells[column].hidden = hide;
    });
    by("count").textContent = `${shown} of ${body.rows.length} rows`;
  };
  for (const [key, values] of Object.entries(data.filters)) {
    const label = make("label", key[0].toUpperCase() + key.slice(1));
    const select = make("select", undefined, { id: `filter-${key}` });
    select.append(make("option", "all", { value: "" }), ...values.map((value) => make("option", value, { value })));
    select.addEventListener("change", () => { chosen[key] = select.value; apply(); });
    label.append(select);
    filters.append(label);
  }
  filters.append(make("output", "", { id: "count", class: "soft", "aria-live": "polite" }));
  apply();

  // --- the stepper ---
  const stepper = by("stepper");
  const words = { ok: "ok", wrong: "\u2717 wrong", absent: "\u2013" };
  let cell = null;
  let step = 0;

  const lanesOf = (found) => {
    const lanes = [];
    for (const actor of [...new Set(found.rows.map((row) => row.actor))].sort()) {
      lanes.push({ name: actor, at: (row) => (row.actor === actor ? row.operation : ""), words: false });
    }
    const many = found.rows[0].icache.length > 1;
    const each = (key, name) => {
      if (key !== "icache" && !found.rows.some((row) => row[key].some((word) => word !== "absent"))) return;
      found.rows[0][key].forEach((_, core) => {
        lanes.push({ name: many ? `${name} ${core}` : name, at: (row) => row[key][core], words: true });
      });
    };
    each("icache", "instruction cache");
    each("ahead", "fetched ahead");
    each("buffer", "store buffer");
    lanes.push({ name: "data cache", at: (row) => row.dcache, words: true });
    lanes.push({ name: "memory / L2", at: (row) => row.memory, words: true });
    return lanes;
  };

  const draw = () => {
    const rows = cell.rows;
    const row = rows[step];
    by("stepper-title").textContent = cell.title;
    by("stepper-about").textContent = cell.watched;
    const lanes = make("table", undefined, { class: "lanes" });
    lanes.append(make("caption", "Each lane, step by step; what changed at a step is framed."));
    const head = lanes.createTHead().insertRow();
    head.append(make("td", "lane"));
    rows.forEach((_, at) => {
      const now = at === step ? { "aria-current": "step", class: "now" } : at > step ? { class: "later" } : {};
      head.append(make("th", String(at + 1), { scope: "col", ...now }));
    });
    const inside = lanes.createTBody();
    for (const lane of lanesOf(cell)) {
      const line = inside.insertRow();
      line.append(make("th", lane.name, { scope: "row" }));
      rows.forEach((one, at) => {
        const word = lane.at(one);
        const before = at ? lane.at(rows[at - 1]) : word;
        const classes = [];
        if (lane.words) classes.push(word);
        if (lane.words && word !== before) classes.push("changed");
        if (at === step) classes.push("now");
        if (at > step) classes.push("later");
        line.append(make("td", lane.words ? words[word] : word, { class: classes.join(" ") }));
      });
    }
    by("lanes").replaceChildren(lanes);
    by("because").textContent = `Step ${step + 1} of ${rows.length}, ${row.actor}: ${row.operation}. ${row.because}`;
    const beside = row.fetches.map((text, core) => {
      const box = make("div");
      const name = row.fetches.length > 1 ? `Core ${core} would fetch` : "The core would fetch";
      box.append(make("h4", name), make("span", text, { class: "code" }));
      if (text !== row.reads) box.append(make("span", " (not what a debugger reads)", { class: "wrong" }));
      return box;
    });
    const reads = make("div");
    reads.append(make("h4", "A debugger reads"), make("span", row.reads, { class: "code" }));
    by("beside").replaceChildren(...beside, reads);
    by("slider").max = String(rows.length);
    by("slider").value = String(step + 1);
    by("slider").setAttribute("aria-valuetext", `step ${step + 1} of ${rows.length}`);
    by("back").disabled = step === 0;
    by("forward").disabled = step === rows.length - 1;
    const current = lanes.querySelector("th.now");
    const box = by("lanes");
    box.scrollLeft = Math.max(0, current.offsetLeft - box.clientWidth / 2);
  };

  const fragment = () => `#${cell.id.split("/").map(encodeURIComponent).join("/")}/${step + 1}`;
  const go = (to) => {
    if (!cell) return;
    step = Math.min(Math.max(to, 0), cell.rows.length - 1);
    history.replaceState(null, "", fragment());
    draw();
  };
  const open = () => {
    const parts = location.hash.slice(1).split("/").map(decodeURIComponent);
    const number = Number(parts.pop());
    const found = cells.get(parts.join("/"));
    if (!found || !Number.isInteger(number)) return;
    cell = found;
    stepper.hidden = false;
    go(number - 1);
    stepper.focus();
    stepper.scrollIntoView({ block: "start" });
  };
  window.addEventListener("hashchange", open);
  by("back").addEventListener("click", () => go(step - 1));
  by("forward").addEventListener("click", () => go(step + 1));
  by("close").addEventListener("click", () => {
    stepper.hidden = true;
    const address = fragment().replace(/\d+$/, "1");
    const link = [...document.querySelectorAll("td.fails a")].find((one) => one.getAttribute("href") === address);
    history.replaceState(null, "", location.pathname + location.search);
    (link ?? by("results")).focus();
  });
  by("slider").addEventListener("input", (event) => go(Number(event.target.value) - 1));
  document.addEventListener("keydown", (event) => {
    if (stepper.hidden || event.altKey || event.ctrlKey || event.metaKey || event.target.matches("select, input")) return;
    const moves = { ArrowRight: step + 1, ArrowLeft: step - 1, Home: 0, End: cell.rows.length - 1 };
    if (event.key in moves) {
      event.preventDefault();
      go(moves[event.key]);
    } else if (event.key === "Escape") by("close").click();
  });
  // On paper nothing can be unfolded.
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    folded.forEach((one) => { one.open = true; });
  });
  window.addEventListener("afterprint", () => folded.forEach((one) => { one.open = false; }));
  open();
})();
