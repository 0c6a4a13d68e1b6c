// Filters, sorting and pages of the board's table. The data stand in data.js; all text goes in as text, never as markup.
"use strict";
(() => {
  const PER_PAGE = 100;
  const [PAGE, LABEL, NAME, FOLDER, VERDICT, TRACK, AUTHOR, DATE, BPB, RULES, READY] = Array.from({ length: 11 }, (_, n) => n);
  const board = window.BOARD;
  const form = document.getElementById("filters");
  const table = document.getElementById("table");
  const body = table.tBodies[0];
  const count = document.getElementById("count");
  const pages = document.getElementById("pages");
  const words = board.rows.map((row) =>
    [row[LABEL], row[NAME], row[FOLDER], board.authors[row[AUTHOR]]].join(" ").toLowerCase());
  const order = { column: "number", down: false };
  let shown = board.rows.map((_, n) => n);
  let page = 0;

  const keys = {
    number: (row, n) => n,
    name: (row) => row[NAME].toLowerCase(),
    author: (row) => board.authors[row[AUTHOR]].toLowerCase(),
    track: (row) => board.tracks[row[TRACK]],
    date: (row) => row[DATE] || null,
    bpb: (row) => row[BPB],
    verdict: (row) => row[VERDICT],
  };

  function cell(row, ...children) {
    const made = document.createElement("td");
    made.append(...children);
    row.append(made);
    return made;
  }

  function link(to, text) {
    const made = document.createElement("a");
    made.href = to;
    made.textContent = text;
    return made;
  }

  function drawn(n) {
    const data = board.rows[n];
    const row = document.createElement("tr");
    const verdict = board.verdicts[data[VERDICT]];
    const badge = document.createElement("span");
    badge.className = `badge ${verdict}`;
    badge.textContent = board.words[verdict];
    const folder = document.createElement("small");
    folder.textContent = data[FOLDER];
    cell(row, data[LABEL]);
    cell(row, link(`submissions/${data[PAGE]}`, data[NAME]), folder);
    cell(row, board.authors[data[AUTHOR]]);
    cell(row, board.tracks[data[TRACK]] || "–");
    cell(row, data[DATE] || "–").className = "day";
    cell(row, data[BPB] === null ? "–" : data[BPB].toFixed(4)).className = "number";
    cell(row, badge);
    const rules = cell(row);
    data[RULES].forEach((rule, at) => {
      if (at) rules.append(", ");
      const id = board.rules[rule];
      rules.append(board.kinds[id] ? link(`rules/${id}.html`, id) : id);
    });
    cell(row, data[READY] === null ? "–" : data[READY] ? "yes" : "no");
    return row;
  }

  function draw() {
    const last = Math.max(0, Math.ceil(shown.length / PER_PAGE) - 1);
    page = Math.min(page, last);
    const part = shown.slice(page * PER_PAGE, (page + 1) * PER_PAGE);
    body.replaceChildren(...part.map(drawn));
    count.textContent = shown.length === board.rows.length
      ? `All ${shown.length.toLocaleString("en")} submissions`
      : `${shown.length.toLocaleString("en")} of ${board.rows.length.toLocaleString("en")} submissions`;
    document.getElementById("page").textContent = `Page ${page + 1} of ${last + 1}`;
    document.getElementById("previous").disabled = page === 0;
    document.getElementById("next").disabled = page === last;
    pages.hidden = last === 0;
  }

  function asked() {
    const data = new FormData(form);
    const text = (name) => (data.get(name) || "").trim();
    return {
      verdicts: new Set(data.getAll("verdict").map((name) => board.verdicts.indexOf(name))),
      rule: text("rule") ? board.rules.indexOf(text("rule")) : null,
      track: form.elements.track.selectedIndex > 0 ? board.tracks.indexOf(text("track")) : null,
      author: text("author").toLowerCase(),
      from: text("from"),
      to: text("to"),
      parts: text("text").toLowerCase().split(/\s+/).filter(Boolean),
    };
  }

  function fits(want, row, n) {
    return want.verdicts.has(row[VERDICT])
      && (want.rule === null || row[RULES].includes(want.rule))
      && (want.track === null || row[TRACK] === want.track)
      && (!want.author || board.authors[row[AUTHOR]].toLowerCase().includes(want.author))
      && (!want.from || (row[DATE] && row[DATE] >= want.from))
      && (!want.to || (row[DATE] && row[DATE] <= want.to))
      && want.parts.every((part) => part[0] === "#" ? row[LABEL] === part : words[n].includes(part));
  }

  function sort() {
    const key = keys[order.column];
    const sign = order.down ? -1 : 1;
    const by = new Map(shown.map((n) => [n, key(board.rows[n], n)]));
    shown.sort((a, b) => {
      const [x, y] = [by.get(a), by.get(b)];
      if (x === y) return a - b;
      if (x === null) return 1;
      if (y === null) return -1;
      return (x < y ? -1 : 1) * sign;
    });
  }

  function filter() {
    const start = performance.now();
    const want = asked();
    shown = [];
    board.rows.forEach((row, n) => { if (fits(want, row, n)) shown.push(n); });
    sort();
    page = 0;
    draw();
    remember();
    document.documentElement.dataset.filterMs = (performance.now() - start).toFixed(1);
  }

  function remember() {
    const data = new FormData(form);
    const kept = new URLSearchParams();
    const verdicts = data.getAll("verdict");
    if (verdicts.length < board.verdicts.length) kept.set("verdict", verdicts.join("."));
    for (const name of ["rule", "track", "author", "from", "to", "text"]) if (data.get(name)) kept.set(name, data.get(name));
    const hash = kept.toString();
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname.split("/").pop() || "index.html");
  }

  function restore() {
    const kept = new URLSearchParams(location.hash.slice(1));
    form.reset();
    for (const name of ["rule", "track", "author", "from", "to", "text"]) if (kept.has(name)) form.elements[name].value = kept.get(name);
    if (kept.has("verdict")) {
      const wanted = kept.get("verdict").split(".");
      for (const box of form.elements.verdict) box.checked = wanted.includes(box.value);
    }
    filter();
  }

  function turn(by) {
    page += by;
    draw();
    table.scrollIntoView({ block: "nearest" });
  }

  for (const track of board.tracks) {
    const option = document.createElement("option");
    option.value = track;
    option.textContent = track || "none named";
    form.elements.track.append(option);
  }
  for (const author of [...board.authors].sort((a, b) => a.localeCompare(b))) {
    const option = document.createElement("option");
    option.value = author;
    document.getElementById("authors").append(option);
  }
  for (const button of table.querySelectorAll("button[data-sort]")) {
    button.addEventListener("click", () => {
      order.down = order.column === button.dataset.sort && !order.down;
      order.column = button.dataset.sort;
      for (const head of table.querySelectorAll("th[aria-sort]")) head.removeAttribute("aria-sort");
      button.closest("th").setAttribute("aria-sort", order.down ? "descending" : "ascending");
      sort();
      page = 0;
      draw();
    });
  }
  form.addEventListener("input", filter);
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("previous").addEventListener("click", () => turn(-1));
  document.getElementById("next").addEventListener("click", () => turn(1));
  window.addEventListener("hashchange", () => {
    if (location.hash !== "#main") restore();  // the link to the content is no filter
  });
  form.hidden = table.hidden = false;
  restore();
})();
