"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const made = (tag, text, more) => Object.assign(document.createElement(tag), text === undefined ? {} : { textContent: text }, more);

  // The table: columns of plain values; a text is a number into its column's list of words.
  const { columns, rows } = data;
  const STEP = 60;
  const word = (column, cell) => (cell === null ? "" : columns[column].words ? columns[column].words[cell] : cell);
  const three = (value) => {
    if (value === null) return "";
    if (value === 0) return "0";
    const rounded = Number(value.toPrecision(3));
    const places = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(rounded))));
    return rounded.toFixed(places).replace(/\B(?=(\d{3})+(?!\d))(?<!\.\d*)/g, "\u202f");
  };
  const shown = (column, cell) => (columns[column].number ? three(cell) : columns[column].count ? (cell === null ? "" : String(cell)) : word(column, cell));
  let sorted = { column: -1, down: false };
  let found = rows.map((_, n) => n);
  let limit = STEP;
  const text = rows.map((row) => row.map((cell, n) => (columns[n].words ? word(n, cell) : "")).join(" ").toLowerCase());

  const filters = [...document.querySelectorAll("[data-filter]")];
  function choose() {
    const wanted = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const equal = filters.filter((one) => one.value !== "").map((one) => [Number(one.dataset.filter), Number(one.value)]);
    found = [];
    for (let n = 0; n < rows.length; n++) {
      if (equal.every(([column, value]) => rows[n][column] === value) && wanted.every((part) => text[n].includes(part))) found.push(n);
    }
    order();
    limit = STEP;
    draw();
    fade();
  }
  function order() {
    const { column, down } = sorted;
    if (column < 0) return;
    const value = columns[column].words ? (n) => word(column, rows[n][column]) : (n) => rows[n][column];
    const keys = new Map(found.map((n) => [n, value(n)]));
    const empty = (key) => key === null || key === "";
    found.sort((a, b) => {
      const x = keys.get(a), y = keys.get(b);
      if (empty(x) || empty(y)) return empty(x) - empty(y) || a - b; // what is empty comes last, whichever way
      const way = x < y ? -1 : x > y ? 1 : 0;
      return (down ? -way : way) || a - b;
    });
  }
  function draw() {
    const body = byId("rows");
    const part = document.createDocumentFragment();
    for (const n of found.slice(0, limit)) {
      const line = made("tr");
      rows[n].forEach((cell, column) => {
        const about = columns[column];
        if (about.hidden) return;
        const place = made("td", undefined, { className: about.number || about.count ? "n" : "" });
        if (column === data.link) place.append(made("a", shown(column, cell), { href: `#p${data.ids[n]}` }));
        else place.textContent = shown(column, cell);
        if (about.words && ["invalid", "failed", "regression", "improvement"].includes(place.textContent)) place.classList.add(place.textContent);
        line.append(place);
      });
      part.append(line);
    }
    body.replaceChildren(part);
    byId("count").textContent = `${found.length} of ${rows.length} rows` + (found.length > limit ? `, the first ${limit} shown` : "");
    byId("more").hidden = found.length <= limit;
    byId("none").hidden = found.length > 0;
  }
  // Marks of the pictures by point, found once; a mark is touched only where it changes.
  let marks = null;
  function fade() {
    marks ??= [...document.querySelectorAll("main svg a")].map((link) => ({ link, id: Number(/^#p(\d+)$/.exec(link.getAttribute("href"))?.[1] ?? NaN), faded: false }));
    const there = new Set();
    for (const n of found) there.add(data.ids[n]);
    const all = found.length === rows.length;
    for (const one of marks) {
      const faded = !all && !there.has(one.id);
      if (faded !== one.faded) one.link.classList.toggle("faded", (one.faded = faded));
    }
  }
  document.querySelectorAll("th[data-column] button").forEach((button) => {
    button.addEventListener("click", () => {
      const column = Number(button.parentElement.dataset.column);
      sorted = { column, down: sorted.column === column ? !sorted.down : Boolean(columns[column].number) };
      document.querySelectorAll("th[data-column]").forEach((one) => one.setAttribute("aria-sort", Number(one.dataset.column) === column ? (sorted.down ? "descending" : "ascending") : "none"));
      order();
      draw();
    });
  });
  byId("search").addEventListener("input", choose);
  filters.forEach((one) => one.addEventListener("change", choose));
  byId("more").addEventListener("click", () => { limit += 5 * STEP; draw(); });

  // A point: its address is #pN, so that back closes it and a link opens it.
  const box = byId("point");
  function table(heads, lines) {
    const one = made("table");
    const top = made("tr");
    heads.forEach((head) => top.append(made("th", head, { scope: "col" })));
    one.append(top);
    for (const line of lines) {
      const row = made("tr");
      line.forEach((cell, n) => row.append(made("td", cell, { className: (["failed", "invalid"].includes(cell) ? "bad" : "") + (n === line.length - 1 && cell.length > 40 ? " wrap" : "") })));
      one.append(row);
    }
    const around = made("div", undefined, { className: "scroll", tabIndex: 0 });
    around.append(one);
    return around;
  }
  const KINDS = {
    table: (part) => [table(part.heads, part.lines)],
    facts: (part) => {
      const list = made("dl");
      part.lines.forEach(([label, value]) => list.append(made("dt", label), made("dd", value)));
      return [list];
    },
    picture: (part) => part.lines.map((id) => Object.assign(made("figure"), { innerHTML: byId(id).innerHTML })),
    commands: (part) => part.lines.flatMap(([label, line]) => [...(label ? [made("div", label, { className: "quiet" })] : []), made("pre", line)]),
    log: (part) => [made("pre", part.lines.join("\n"), { className: "log", tabIndex: 0 })],
  };
  function open(number) {
    const one = data.panels[number];
    if (!one) return false;
    const body = byId("point-body");
    body.replaceChildren();
    byId("point-title").textContent = one.title;
    for (const part of one.parts) body.append(made("h3", part.heading), ...(part.lines.length ? KINDS[part.kind](part) : [made("p", part.empty, { className: "empty" })]));
    if (!box.open) box.showModal();
    box.scrollTop = 0;
    byId("point-close").focus();
    return true;
  }
  function follow() {
    const match = /^#p(\d+)$/.exec(location.hash);
    if (!(match && open(match[1])) && box.open) box.close();
  }
  box.addEventListener("close", () => { if (/^#p\d+$/.test(location.hash)) history.replaceState(null, "", location.pathname + location.search + "#"); });
  box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
  byId("point-close").addEventListener("click", () => box.close());
  addEventListener("hashchange", follow);

  // What a mark of a picture says, under the pointer and under the keyboard.
  const tip = byId("tip");
  function hint(event) {
    const mark = event.target.closest?.("svg [data-label], svg a");
    const said = mark && (mark.getAttribute("aria-label") || mark.dataset.label);
    if (!said) { tip.style.display = "none"; return; }
    tip.textContent = said;
    tip.style.display = "block";
    const place = mark.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(place.right + 6, innerWidth - tip.offsetWidth - 4))}px`;
    tip.style.top = `${Math.max(4, place.top - tip.offsetHeight - 4)}px`;
  }
  addEventListener("mouseover", hint);
  addEventListener("focusin", hint);

  // Light and dark, and what can be saved.
  byId("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  document.querySelectorAll("[data-save]").forEach((button) => button.addEventListener("click", () => {
    const source = byId(button.dataset.save);
    const content = button.dataset.key ? JSON.stringify(JSON.parse(source.textContent)[button.dataset.key], null, 1) : JSON.parse(source.textContent);
    const link = made("a", "", { href: URL.createObjectURL(new Blob([content], { type: "text/plain" })), download: button.dataset.name });
    document.body.append(link);
    link.click();
    link.remove();
  }));
  draw();
  follow();
  document.documentElement.dataset.ready = "yes";
})();
