// The page: reads the columns, then shows what the form asks for.
import { about, element, header } from "./about.js";
import { blocks, take } from "./columns.js";
import { Data } from "./compute.js";
import * as figures from "./figures.js";
import { choose, field, prepare, read, refuse, swatch, title } from "./form.js";
import { axis, nodes, short } from "./label.js";
import * as tables from "./tables.js";

const content = JSON.parse(document.getElementById("content").textContent);
const data = new Data(content);
let result = null;
let updates = 0;

function status(text, problem = false) {
  field("status").textContent = text;
  field("status").classList.toggle("problem", problem);
}

const QUANTITIES = {
  density: ["density of events", "events", "events per unit"],
  yield: ["events", "events", "events per bin"],
  normalised: ["normalised density", "1", "normalised, per unit"],
  cross: ["differential cross section", "fb", "fb per unit"],
};

// Names, labels and units of what is shown.
function worded({ own, mode, families }) {
  const [quantity, unit, bare] = QUANTITIES[mode];
  const yUnit = mode === "yield" ? unit : own?.unit ? `${unit} / ${own.unit}` : unit === "1" ? "" : unit;
  const all = families.length === data.families.length;
  const some = families.length ? `${families.map(title).join(", ")} only` : "none";
  return {
    content,
    expression: field("expression").value.trim(),
    selection: field("selection").value.trim(),
    label: own ? own.label : field("expression").value.trim(),
    unit: own?.unit ?? "",
    quantity,
    yUnit,
    yLabel: mode === "yield" || !own?.unit ? bare : yUnit,
    stated: all ? content.uncertainty : some,
  };
}

function predicted(request) {
  if (request.prediction === "") return null;
  const number = Number(request.prediction);
  const contents = data.predicted(number, request);
  return contents && { label: content.predictions[number].label, contents };
}

function legend(other) {
  const entry = (colour, kind, text) => {
    const mark = element("span", [], { className: `swatch ${kind}` });
    mark.style.color = colour;
    return element("span", [mark, text]);
  };
  const { INK, TOTAL, STATISTICAL, OTHER } = figures.SHADES;
  const parts = [entry(INK, "", "unfolded")];
  if (result.families.length) parts.push(entry(TOTAL, "box", result.stated));
  if (result.statistical) parts.push(entry(STATISTICAL, "box", "statistical part"));
  if (other) parts.push(entry(OTHER, "dashed", other));
  field("legend").className = "legend";
  field("legend").replaceChildren(...parts);
  const sources = result.families.map((f) =>
    element("span", [swatch(data.families.findIndex((g) => g.name === f.name)), title(f.name)]),
  );
  field("breakdown-legend").className = "legend";
  field("breakdown-legend").replaceChildren(entry(INK, "", "total of these"), ...sources);
}

function describe(k) {
  const { edges, values, sigma } = result;
  return `${short(edges[k])} to ${short(edges[k + 1])}\n${short(values[k])} ± ${short(sigma[k], 3)}`;
}

function draw(request) {
  const { edges, log, own } = request;
  const known = result.predicted?.contents ?? null;
  const other = result.predicted?.label;
  const shown = { ...result, other: known };
  const x = axis(result.label, result.unit);
  for (const id of ["x-label", "x-label-2", "x-label-3"])
    field(id).replaceChildren(...x.map((n) => (n.cloneNode ? n.cloneNode(true) : n)));
  field("figure-title").replaceChildren(
    ...(own ? nodes(own.label) : [result.expression]),
    result.selection ? `, selected: ${result.selection}` : "",
  );
  field("y-label").replaceChildren(...nodes(result.yLabel));
  field("ratio-label").replaceChildren(known ? `unfolded / ${other}` : "relative band");
  legend(other);
  figures.spectrum(shown, log, describe);
  figures.ratio(shown, known, log.x);
  const parts = result.families.map((f) => ({ sigma: f.sigma, k: data.families.findIndex((g) => g.name === f.name) }));
  figures.breakdown(result, parts, log.x);
  figures.correlation(edges, result.correlation, (a, b) => {
    const bin = (k) => `${short(edges[k])} to ${short(edges[k + 1])}`;
    field("pointed").textContent =
      a === undefined ? "" : `${bin(a)} with ${bin(b)}: ${short(result.correlation[b * (edges.length - 1) + a], 3)}`;
  });
  field("table").replaceChildren(
    tables.html({ ...result, families: result.families.map((f) => ({ ...f, title: title(f.name) })) }),
  );
  field("stated").textContent = `The band holds: ${result.stated}.`;
  const low = result.families.length && result.rank < edges.length - 1;
  field("rank").textContent = low
    ? `The covariance of ${edges.length - 1} bins has rank ${result.rank} at most, so it has no inverse.`
    : "";
  const missing =
    request.prediction !== "" && !known
      ? " The prediction is not known for this expression, selection or binning."
      : "";
  const waits = result.complete ? "" : " The band follows when the replicas are read.";
  status(`${result.chosen.toLocaleString("en")} of ${data.rows.toLocaleString("en")} rows selected.${missing}${waits}`);
}

function update() {
  const request = read(data);
  let problem = !request;
  if (request) {
    try {
      result = { ...data.result(request), ...worded(request), predicted: predicted(request) };
      draw(request);
    } catch (error) {
      refuse(error);
      problem = true;
    }
  }
  if (problem) status("The figures show what was asked for before: correct the field that is marked.", true);
  field("figures").classList.toggle("stale", problem);
  field("figures").dataset.updates = ++updates;
  for (const id of ["csv", "yaml"]) field(id).disabled = problem || !result?.complete;
}

// Another observable begins with its own bins and weights.
function observe(name) {
  if (!name) return field("expression").focus();
  field("expression").value = name;
  const own = content.observables.find((o) => o.name === name);
  choose(own.edges ? "published" : "number");
  for (const id of ["low", "high", "edges"]) field(id).value = "";
  for (const id of ["low", "high"]) field(id).placeholder = "";
  field("log-x").checked = own.scale === "log";
  field("log-y").checked = own.counts === "log";
  const weights = content.weights.findIndex((w) => w.observable === name);
  if (weights >= 0) field("weights").value = weights;
  return update();
}

function listen() {
  let waiting = 0;
  const later = () => {
    clearTimeout(waiting);
    waiting = setTimeout(update, 250);
  };
  field("observable").addEventListener("change", (event) => observe(event.target.value));
  field("form").addEventListener("input", (event) => {
    if (event.target.id === "edges") choose("edges");
    if (event.target.id !== "observable") later();
  });
  field("form").addEventListener("submit", (event) => event.preventDefault());
  const name = () => `${content.study}_${result.expression}`.replace(/[^\w.-]+/g, "_").slice(0, 80);
  field("csv").addEventListener("click", () => tables.save(`${name()}.csv`, "text/csv", tables.csv(result)));
  field("yaml").addEventListener("click", () => tables.save(`${name()}.yaml`, "application/yaml", tables.yaml(result)));
  let width = 0;
  new ResizeObserver(() => {
    const now = field("figures").clientWidth;
    if (now !== width && width && result) update();
    width = now;
  }).observe(field("figures"));
}

// On a phone the figures come first, and what is set less often is folded.
function fold() {
  const narrow = matchMedia("(max-width: 760px)");
  const set = () => (field("more").open = !narrow.matches);
  narrow.addEventListener("change", set);
  set();
}

const TOGETHER = 8;

async function readAll(elements, said) {
  for (let k = 0; k < elements.length; k += TOGETHER) {
    const some = elements.slice(k, k + TOGETHER).map(async (e) => data.columns.set(e.dataset.column, await take(e)));
    await Promise.all(some);
    if (said) status(`Reading the replicas: ${Math.round((100 * k) / elements.length)}%.`);
  }
}

async function start() {
  header(content);
  about(content);
  if (content.too_large) {
    document.querySelector("main").replaceChildren(element("p", content.too_large, { className: "error" }));
    return;
  }
  prepare(content);
  fold();
  const parsed = new Promise((resolve) => {
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", resolve);
    else resolve();
  });
  await readAll(blocks(), false);
  listen();
  observe(content.unfolded_observables[0]);
  performance.mark("figure");
  await parsed;
  await readAll(blocks(), true);
  update();
  performance.mark("band");
  document.body.dataset.ready = "true";
}

start().catch((error) => {
  status(`The page cannot be shown: ${error.message}. It needs a browser of 2023 or later.`, true);
  throw error;
});
