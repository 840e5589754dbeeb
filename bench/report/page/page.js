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
  const ofColumns = (key) => headers.some((header) => header.dataset[key]);
  const columnKeys = Object.keys(data.filters).filter(ofColumns);
  const keys = Object.keys(data.filters).filter((key) => !ofColumns(key));
  const apply = () => {
    let shown = 0;
    for (const row of body.rows) {
      row.hidden = keys.some((key) => chosen[key] && row.dataset[key] !== chosen[key]);
      shown += !row.hidden;
    }
    headers.forEach((header, column) => {
      const hide = columnKeys.some((key) => chosen[key] && header.dataset[key] && header.dataset[key] !== chosen[key]);
      for (const row of table.rows) row.cells[column].hidden = hide;
    });
    by("count").textContent = `${shown} of ${body.rows.length} rows`;
  };
  for (const [key, values] of Object.entries(data.filters)) {
    if (values.length < 2) continue;
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
  let cell = null;
  let step = 0;

  const draw = () => {
    const { lanes: held, steps } = cell;
    by("stepper-title").textContent = cell.title;
    by("stepper-about").textContent = cell.watched;
    const lanes = make("table", undefined, { class: "lanes" });
    lanes.append(make("caption", "Each lane, step by step; what changed at a step is framed."));
    const head = lanes.createTHead().insertRow();
    head.append(make("td", "lane"));
    steps.forEach((_, at) => {
      const now = at === step ? { "aria-current": "step", class: "now" } : at > step ? { class: "later" } : {};
      head.append(make("th", String(at + 1), { scope: "col", ...now }));
    });
    const inside = lanes.createTBody();
    for (const lane of held) {
      const line = inside.insertRow();
      line.append(make("th", lane.name, { scope: "row" }));
      lane.cells.forEach(([text, word], at) => {
        const classes = word ? [word] : [];
        if (word && at && (word !== lane.cells[at - 1][1] || (word === "held" && text !== lane.cells[at - 1][0]))) classes.push("changed");
        if (at === step) classes.push("now");
        if (at > step) classes.push("later");
        line.append(make("td", text, { class: classes.join(" ") }));
      });
    }
    by("lanes").replaceChildren(lanes);
    by("because").textContent = steps[step].text;
    by("beside").replaceChildren(...steps[step].beside.map(([name, code, word, remark]) => {
      const box = make("div");
      const said = { ok: "the final value", wrong: "\u2717 not the final value" }[word];
      box.append(make("h3", name), make("p", code, { class: "code" }), make("span", said, { class: `word ${word}` }));
      if (remark) box.append(make("span", `, ${remark}`, { class: "soft" }));
      return box;
    }));
    by("slider").max = String(steps.length);
    by("slider").value = String(step + 1);
    by("slider").setAttribute("aria-valuetext", `step ${step + 1} of ${steps.length}`);
    by("back").disabled = step === 0;
    by("forward").disabled = step === steps.length - 1;
    const current = lanes.querySelector("th.now");
    const box = by("lanes");
    box.scrollLeft = Math.max(0, current.offsetLeft - box.clientWidth / 2);
  };

  const fragment = () => `#${cell.id.split("/").map(encodeURIComponent).join("/")}/${step + 1}`;
  const go = (to) => {
    if (!cell) return;
    step = Math.min(Math.max(to, 0), cell.steps.length - 1);
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
    const moves = { ArrowRight: step + 1, ArrowLeft: step - 1, Home: 0, End: cell.steps.length - 1 };
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
