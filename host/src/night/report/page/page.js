// Sorts and filters tables, and shows the details of a trial. All words are set as text, never as markup.
"use strict";

const trials = new Map(JSON.parse(document.getElementById("data").textContent).map((trial) => [trial.number, trial]));
const panel = document.getElementById("details");

// An element with text or other elements in it.
function make(name, inside = [], attributes = {}) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...[inside].flat().filter((part) => part !== null && part !== undefined));
  return element;
}

// ---- Tables

function valueOf(row, column) {
  const cell = row.cells[column];
  return cell.dataset.figure !== undefined ? Number(cell.dataset.figure) : cell.textContent.trim().toLowerCase();
}

// Cells without a figure stay at the end, whatever the direction.
function compare(a, b, sign) {
  const missing = (value) => value === "–" || value === "";
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * String(a).localeCompare(String(b));
}

function sort(table, column) {
  const heads = [...table.tHead.rows[0].cells];
  const down = heads[column].getAttribute("aria-sort") === "ascending";
  heads.forEach((head, at) => head.setAttribute("aria-sort", at !== column ? "none" : down ? "descending" : "ascending"));
  const body = table.tBodies[0];
  const keyed = [...body.rows].map((row) => [valueOf(row, column), row]);
  keyed.sort((a, b) => compare(a[0], b[0], down ? -1 : 1));
  body.append(...keyed.map(([, row]) => row));
}

// Lets the heads of tables sort them. Heads that are links sort by themselves.
function makeSortable(root) {
  for (const table of root.querySelectorAll("main table")) {
    if (table.tBodies[0].rows.length < 2) continue;
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      if (head.firstElementChild) return;
      const button = make("button", head.textContent, { type: "button" });
      button.addEventListener("click", () => sort(table, column));
      head.replaceChildren(button);
      head.setAttribute("aria-sort", "none");
    });
  }
}

makeSortable(document);

// A filter that is not hidden is answered by a server.
const filter = document.getElementById("filter");
if (filter && filter.hidden) {
  const [words, verdict, count] = ["words", "verdict", "count"].map((id) => document.getElementById(id));
  const rows = [...document.querySelectorAll("#all tbody tr")].map((row) => [row, row.textContent.toLowerCase()]);
  const apply = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const [row, text] of rows) {
      row.hidden = !(wanted.every((word) => text.includes(word)) && (!verdict.value || row.className === verdict.value));
      shown += row.hidden ? 0 : 1;
    }
    count.textContent = `${shown} of ${rows.length}`;
  };
  filter.addEventListener("input", apply);
  filter.addEventListener("submit", (event) => event.preventDefault());
  filter.hidden = false;
  apply();
}

// ---- Sources: the seed guest's in full, the others as changes of their parents'

function sourceOf(number) {
  const chain = [];
  for (let trial = trials.get(number); trial; trial = trial.edits ? trials.get(trial.parent) : undefined) {
    chain.push(trial);
    if (trial.source !== undefined) break;
    if (!trial.edits) return null;
  }
  const root = chain.pop();
  if (!root || root.source === undefined) return null;
  return chain.reverse().reduce((lines, trial) => edited(lines, trial.edits), root.source.split("\n"));
}

function edited(lines, edits) {
  let at = 0;
  return edits.flatMap((edit) => {
    if (Array.isArray(edit)) return edit;
    const from = at;
    at += Math.abs(edit);
    return edit > 0 ? lines.slice(from, at) : [];
  });
}

// The changed lines with three unchanged ones around them.
function diff(lines, edits) {
  const pre = make("pre", [], { class: "diff", tabindex: "0" });
  let at = 0;
  edits.forEach((edit, index) => {
    if (Array.isArray(edit)) {
      edit.forEach((line) => pre.append(make("ins", `+ ${line}`), "\n"));
    } else if (edit < 0) {
      lines.slice(at, at - edit).forEach((line) => pre.append(make("del", `− ${line}`), "\n"));
      at -= edit;
    } else {
      const same = lines.slice(at, at + edit);
      const head = index === 0 ? [] : same.slice(0, 3);
      const tail = index === edits.length - 1 ? [] : same.slice(Math.max(head.length, same.length - 3));
      head.forEach((line) => pre.append(`  ${line}\n`));
      if (head.length + tail.length < same.length) pre.append(make("span", "⋯"), "\n");
      tail.forEach((line) => pre.append(`  ${line}\n`));
      at += edit;
    }
  });
  return pre;
}

// ---- The details of a trial

const figure = (value, digits) => (value === null || value === undefined ? null : value.toFixed(digits));
const signed = (value) => (value === null ? null : `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(4)}`);
const percent = (share) => `${(share * 100).toFixed(share < 0.01 ? 1 : 0)}%`;

function facts(pairs) {
  const list = make("dl");
  for (const [name, value] of pairs) {
    if (value !== null && value !== undefined && value !== "") list.append(make("dt", name), make("dd", value));
  }
  return list;
}

function curve(points, heldOut) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const settled = points.slice(Math.floor(points.length / 4)).map(([, loss]) => loss).concat(heldOut ?? []);
  const [low, high, last] = [Math.min(...settled), Math.max(...settled), points.at(-1)[0]];
  const y = (loss) => 10 + (120 * (high - Math.min(loss, high))) / (high - low || 1);
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", points.map(([step, loss], at) => `${at ? "L" : "M"}${10 + (380 * step) / last} ${y(loss)}`).join(""));
  for (const [key, value] of [["viewBox", "0 0 400 140"], ["class", "curve"], ["role", "img"]]) svg.setAttribute(key, value);
  svg.setAttribute("aria-label", `loss from ${points[0][1]} to ${points.at(-1)[1]} nats per token`);
  svg.append(path);
  return svg;
}

function table(heads, rows) {
  const head = make("thead", make("tr", heads.map((name) => make("th", name, { scope: "col" }))));
  const body = make("tbody", rows.map((row) => make("tr", row.map((cell) => make("td", String(cell ?? "–"))))));
  return make("div", make("table", [head, body]), { class: "wide", tabindex: "0" });
}

function folded(summary, inside) {
  return make("details", [make("summary", summary), inside]);
}

function show(number) {
  const trial = trials.get(number);
  if (!trial) return false;
  const name = number === 0 ? "The seed guest" : `Trial #${number}: ${trial.change}`;
  const link = (other) => make("a", other === 0 ? "the seed guest" : `#${other}`, { href: `#t${other}`, "data-trial": other });
  const close = make("button", "Close", { type: "button", class: "close" });
  close.addEventListener("click", () => panel.close());
  const parts = [close, make("h2", name, { id: "details-heading", tabindex: "-1" })];
  const again = trial.again ?? [];
  if (number > 0) {
    parts.push(facts([
      ["verdict", trial.ending],
      ["why", trial.reason],
      ["hypothesis", trial.hypothesis],
      ["proposer", trial.proposer],
      ["operator", trial.operator],
      ["made from", link(trial.parent)],
      ["compared with", link(trial.champion)],
      ["difference", signed(trial.delta) && `${signed(trial.delta)} bits per byte on ${trial.pairs ?? "?"} random seeds`],
      ["spread over seeds", figure(trial.spread, 4)],
      ["P(better)", figure(trial.p_better, 3)],
      ["bits per byte", figure(trial.bpb, 4)],
      ["held again", again.length ? `${again.filter((gain) => gain > 0).length} of ${again.length}` : null],
      ["took", `${trial.wall_s.toFixed(0)} s`],
      ["cost", trial.spend.requests ? `$${(trial.spend.micro_dollars / 1e6).toFixed(4)}, ${trial.spend.requests} requests, ${trial.spend.input_tokens + trial.spend.output_tokens} tokens, ${trial.repairs} repairs` : null],
      ["data in the source", trial.data_bytes === null ? null : `${trial.data_bytes} bytes`],
      ["trained", trial.trained_share === null ? null : `${percent(trial.trained_share)} of the baseline's tokens`],
      ["memory", trial.peak_bytes === null ? null : `${(trial.peak_bytes / 1e6).toFixed(1)} MB of tensors`],
      ["experiment", trial.experiment && make("code", `host show ${trial.experiment}`)],
    ]));
  } else {
    parts.push(facts([["bits per byte", figure(trial.bpb, 4)], ["experiment", trial.experiment && make("code", `host show ${trial.experiment}`)]]));
  }
  const parent = sourceOf(trial.parent);
  if (trial.edits && parent) parts.push(make("h3", ["What it changes of ", link(trial.parent)]), diff(parent, trial.edits));
  if (trial.curve && trial.curve.length > 1) {
    parts.push(make("h3", "Loss in training"), curve(trial.curve, trial.held_out_nats));
    const last = trial.curve.at(-1)[1];
    const held = trial.held_out_nats === null ? "" : `, ${trial.held_out_nats.toFixed(4)} on held-out text`;
    parts.push(make("p", `${last.toFixed(4)} nats per token at the end${held}`));
  }
  if (trial.shares) parts.push(make("h3", "Where its budget goes"), table(["class", "share"], trial.shares.map((s) => [s.class, percent(s.share)])));
  const source = sourceOf(number);
  if (trial.lines) {
    const rows = trial.lines.map((l) => [l.line, l.function, percent(l.share), source ? (source[l.line - 1] ?? "").trim() : ""]);
    parts.push(make("h3", "Its dearest lines"), table(["line", "function", "share of a step", "text"], rows));
  }
  if (trial.runs) {
    const rows = trial.runs.map((run) => [run.own ? "this" : "compared with", run.role, run.random_seed, figure(run.bpb, 4) ?? run.status, run.experiment]);
    parts.push(make("h3", "Runs"), table(["guest", "for", "random seed", "bits per byte", "experiment"], rows));
  }
  for (const exchange of trial.exchanges ?? []) {
    parts.push(folded(`What the proposer was sent (${exchange.status})`, make("pre", exchange.request, { class: "sample", tabindex: "0" })));
    parts.push(folded("What it answered", make("pre", exchange.answer, { class: "sample", tabindex: "0" })));
  }
  if (source) parts.push(folded(`Its source, ${source.length} lines`, make("pre", source.join("\n"), { tabindex: "0" })));
  panel.replaceChildren(...parts);
  if (!panel.open) panel.showModal();
  panel.scrollTop = 0;
  document.getElementById("details-heading").focus();
  return true;
}

document.addEventListener("click", (event) => {
  if (event.target === panel) panel.close();
  const chosen = event.target.closest("[data-trial]");
  if (chosen && !event.ctrlKey && !event.metaKey && show(Number(chosen.dataset.trial))) event.preventDefault();
});
