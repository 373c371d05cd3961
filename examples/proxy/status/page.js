"use strict";
// Texts from requests are only ever set as text.
const byId = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const WINDOW = 300;

function make(name, attributes = {}, ...children) {
  const isSvg = ["svg", "path", "line"].includes(name);
  const element = isSvg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const number = (value) => (Math.abs(value) < 100 && value % 1 ? fine : whole).format(value);
const sum = (values) => values.reduce((all, value) => all + value, 0);
const last = (values) => values[values.length - 1] ?? 0;

function milliseconds(value) {
  if (value === null || Number.isNaN(value)) return "–";
  return value < 1000 ? `${number(value)} ms` : `${number(value / 1000)} s`;
}

function seconds(value) {
  if (value < 120) return `${value < 10 ? value.toFixed(1) : whole.format(value)} s`;
  const [minutes, hours] = [Math.floor(value / 60), Math.floor(value / 3600)];
  if (hours < 1) return `${minutes} min`;
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days ${hours % 24} h`;
}

function bytes(value) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (value >= 1000 && at < units.length - 1) [value, at] = [value / 1000, at + 1];
  return `${number(value)} ${units[at]}`;
}

// The mean of the values that are there.
function mean(values) {
  const there = values.filter((value) => value !== null);
  return there.length ? sum(there) / there.length : null;
}

// A round number that is not smaller.
function ceiling(value) {
  if (!(value > 0)) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return unit * [1, 2, 5, 10].find((step) => step * unit >= value);
}

function pathOf(values, top) {
  let [path, isDown] = ["", false];
  values.forEach((value, at) => {
    if (value === null) return void (isDown = false);
    const [x, y] = [WINDOW - values.length + at, 100 - (100 * value) / top];
    path += isDown ? `L${x} ${y.toFixed(2)}` : `M${x} ${y.toFixed(2)}h.6`;
    isDown = true;
  });
  return path;
}

// The charts, each made once and drawn again each second.
const charts = new Map();

// `lines` are [name, values, what the legend says].
function draw(name, text, lines) {
  let chart = charts.get(name);
  if (!chart) {
    const svg = make("svg", { viewBox: `0 0 ${WINDOW} 100`, preserveAspectRatio: "none", role: "img" });
    chart = { svg, legend: make("ul", { class: "legend" }), top: make("span") };
    const above = make("div", { class: "axis" }, chart.top);
    const below = make("div", { class: "axis" }, make("span", {}, "5 min ago"), make("span", {}, "now"));
    byId("charts").append(make("figure", {}, make("figcaption", {}, name), above, svg, below, chart.legend));
    charts.set(name, chart);
  }
  const top = ceiling(Math.max(0, ...lines.flatMap((line) => line[1])));
  chart.top.textContent = text(top);
  const grid = [0, 50, 100].map((y) => make("line", { x1: 0, x2: WINDOW, y1: y, y2: y }));
  const paths = lines.map((line, at) => make("path", { class: `s${at % 6}`, d: pathOf(line[1], top) }));
  chart.svg.replaceChildren(...grid, ...paths);
  chart.svg.setAttribute("aria-label", `${name}: ${lines.map((line) => `${line[0]} ${line[2]}`).join(", ")}`);
  chart.legend.replaceChildren(...lines.map(([label, , says], at) => {
    const mark = make("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" }, make("path", { class: `s${at % 6}`, d: "M1 5h24" }));
    return make("li", {}, mark, `${label} ${says}`);
  }));
}

// A table with one row for each item; a column is [title, value of an item, class]. What has not changed is left alone, so
// that it can be selected.
function fill(id, columns, items) {
  const table = byId(id);
  if (!table.tBodies.length) {
    const head = columns.map(([title, , kind = ""]) => make("th", { scope: "col", role: "columnheader", class: kind }, title));
    table.setAttribute("role", "table");
    table.append(make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...head)), make("tbody", { role: "rowgroup" }));
  }
  const [body] = table.tBodies;
  while (body.rows.length > items.length) body.lastChild.remove();
  while (body.rows.length < items.length) {
    const cells = columns.map(([title, , kind = ""]) => make("td", { "data-label": title, role: "cell", class: kind }, make("span")));
    body.append(make("tr", { role: "row" }, ...cells));
  }
  items.forEach((item, at) => columns.forEach(([, value], column) => {
    const [span, text] = [body.rows[at].cells[column].firstChild, String(value(item) ?? "–")];
    if (span.textContent !== text) span.textContent = text;
  }));
}

function tiles(status) {
  const { history, server, requests, pool } = status;
  const [rate, errors] = [last(history.responses), last(history.errors)];
  const recent = history.upstreams.flatMap((it) => it.requests.slice(-10).map((count, at) => [count, it.total_mean_ms.slice(-10)[at]]));
  const time = sum(recent.map(([count, each]) => count * each)) / sum(recent.map(([count]) => count));
  const all = [
    ["Responses per second", number(rate), `${whole.format(server.answered)} since the start`],
    ["Errors per second", number(errors), `${whole.format(status.responses["5xx"])} with 5xx since the start`, errors > 0],
    ["Mean time", milliseconds(time), "of the last ten seconds"],
    ["In flight", number(requests.in_flight), requests.paused ? `${requests.paused} clients do not read` : "at the applications"],
    ["Queued", number(requests.queued + requests.connecting), "wait for a connection", requests.queued > 0],
    ["Connections", number(pool.busy + pool.draining + pool.idle), `${pool.busy + pool.draining} busy, ${pool.idle} idle`],
    ["Clients", number(server.clients), "connected"],
  ];
  byId("tiles").replaceChildren(...all.map(([name, value, says, isBad]) =>
    make("div", {}, make("dt", {}, name), make("dd", isBad ? { class: "bad" } : {}, value, make("small", {}, says)))));
}

function plots({ history }) {
  const per = (values) => `${number(last(values))}/s, at most ${number(Math.max(0, ...values))}`;
  const most = (values) => `${number(last(values))}, at most ${number(Math.max(0, ...values))}`;
  const rate = (value) => `${number(value)}/s`;
  draw("Responses per second", rate, [["all", history.responses, per(history.responses)], ["5xx", history.errors, per(history.errors)]]);
  const phases = [["total", "total"], ["first byte", "first_byte"], ["queue", "queue"], ["connect", "connect"]];
  draw("Mean time of a phase", milliseconds, phases.map(([name, key]) => {
    const values = history[`${key}_mean_ms`];
    return [name, values, milliseconds(mean(values))];
  }));
  draw("Longest time of a phase", milliseconds, phases.map(([name, key]) => {
    const values = history[`${key}_longest_ms`];
    const there = values.filter((value) => value !== null);
    return [name, values, there.length ? `at most ${milliseconds(Math.max(...there))}` : "–"];
  }));
  draw("Requests", number, [["queued", "queued"], ["in flight", "in_flight"]].map(([name, key]) => [name, history[key], most(history[key])]));
  draw("Connections to applications", number, ["busy", "connecting", "idle"].map((key) => [key, history[key], most(history[key])]));
  draw("Clients", number, [["connected", history.clients, most(history.clients)]]);
  const named = history.upstreams.map((upstream) => [upstream.address ?? "none", upstream]);
  draw("Requests per second by application", rate, named.map(([name, it]) => [name, it.requests, per(it.requests)]));
  draw("Mean time by application", milliseconds, named.map(([name, it]) => [name, it.total_mean_ms, milliseconds(mean(it.total_mean_ms))]));
}

function tables({ present, upstreams }) {
  const hanging = present.requests.filter((it) => it.without_progress_s >= 1);
  byId("hanging").hidden = !hanging.length;
  byId("hanging-none").hidden = hanging.length > 0;
  fill("hanging", [
    ["Since", (it) => seconds(it.without_progress_s), "number"],
    ["Request", (it) => it.request ?? "its client has gone"],
    ["Why", (it) => it.why],
    ["State", (it) => `${it.state} for ${seconds(it.in_state_s)}`],
    ["Application", (it) => it.upstream],
    ["Sent, received", (it) => `${bytes(it.bytes_sent)}, ${bytes(it.bytes_received)}`],
    ["Client", (it) => it.client, "short"],
    ["ID", (it) => it.id, "short"],
  ], hanging);
  fill("upstreams", [
    ["Address", (it) => it.address ?? "none: no connection could be had"],
    ["State", (it) => it.problem ?? (it.set_aside ? "set aside" : it.address ? "up" : "–")],
    ["Connections", (it) => `${it.connections}, ${it.idle} idle`, "number"],
    ["Requests", (it) => number(it.requests), "number"],
    ["Completed", (it) => number(it.completed), "number"],
    ["Failed", (it) => number(it.failed), "number"],
    ["Mean time", (it) => milliseconds((1000 * it.total_s) / (it.completed + it.failed)), "number"],
  ], upstreams);
  fill("connections", [
    ["Application", (it) => `${it.upstream}, connection ${it.connection}`],
    ["State", (it) => it.closes ? `${it.state}, closes: ${it.closes}` : it.state],
    ["Last activity", (it) => `${seconds(it.without_activity_s)} ago`, "number"],
    ["Requests", (it) => `${it.requests} of ${it.max_requests}`, "number"],
    ["Served", (it) => number(it.served), "number"],
    ["Sent", (it) => it.bytes_unsent ? `${bytes(it.bytes_sent)}, ${bytes(it.bytes_unsent)} wait` : bytes(it.bytes_sent), "number"],
    ["Received", (it) => bytes(it.bytes_received), "number"],
  ], present.connections);
}

function numbers(status) {
  const groups = ["server", "responses", "requests", "pool", "kept", "bytes", "evictions"];
  byId("numbers").replaceChildren(...groups.map((group) => {
    const rows = Object.entries(status[group]).map(([name, value]) =>
      make("tr", {}, make("td", {}, name.replaceAll("_", " ")), make("td", { class: "number" }, whole.format(value))));
    return make("table", { "aria-label": group }, make("thead", {}, make("tr", {}, make("th", { colspan: 2 }, group))), make("tbody", {}, ...rows));
  }));
}

let answered = null;

// What a screen reader is to say. Not what changes each second.
function say(text) {
  if (byId("state").textContent !== text) byId("state").textContent = text;
}

async function refresh() {
  try {
    const answer = await fetch("/-/status.json", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const status = await answer.json();
    answered = new Date();
    const { uptime_s, threads } = status.server;
    byId("uptime").textContent = `up for ${seconds(uptime_s)}, ${threads} ${threads === 1 ? "thread" : "threads"}`;
    say("");
    for (const show of [tiles, plots, tables, numbers]) show(status);
  } catch (error) {
    const since = answered ? `since ${answered.toLocaleTimeString()}` : "yet";
    say(`No answer from the proxy ${since} (${error.message}). The figures are old.`);
  }
}

async function run() {
  if (!document.hidden) await refresh();
  setTimeout(run, 1000);
}

document.addEventListener("visibilitychange", () => document.hidden || refresh());
run();
