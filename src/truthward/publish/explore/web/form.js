// The fields of the form: what they hold, and errors beside them.
import { element } from "./about.js";
import { colour, dash } from "./figures.js";
import { checked, equal } from "./histogram.js";
import { plain } from "./label.js";
import { ExpressionError, FUNCTIONS, parse } from "./parse.js";

export const field = (id) => document.getElementById(id);
const chosen = () => document.querySelector("input[name=bins]:checked").value;
export const choose = (kind) => (document.querySelector(`input[name=bins][value=${kind}]`).checked = true);

export const title = (family) => family.replace(/^systematic:/, "");
const option = (value, text) => element("option", text, { value });

export function swatch(k) {
  const made = element("span", [], { className: "swatch" });
  made.style.color = colour(k);
  if (dash(k)) made.classList.add("dashed");
  return made;
}

export function prepare(content) {
  const groups = [
    ["unfolded", content.observables.filter((o) => o.unfolded)],
    ["not unfolded", content.observables.filter((o) => !o.unfolded)],
  ];
  for (const [label, members] of groups) {
    const options = members.map((o) =>
      option(o.name, plain(o.label) === o.name ? o.name : `${plain(o.label)} (${o.name})`),
    );
    if (members.length) field("observable").append(element("optgroup", options, { label }));
  }
  field("observable").append(option("", "an expression"));
  field("functions").append(Object.keys(FUNCTIONS).join(", "));
  field("names").append(content.observables.map((o) => o.name).join(", "));
  field("mode").append(
    option("density", "events per unit"),
    option("yield", "events per bin"),
    option("normalised", "normalised to one"),
  );
  if (content.normalisation.luminosity_per_fb) field("mode").append(option("cross", "cross section per unit"));
  field("prediction").append(...content.predictions.map((p, k) => option(k, p.label)), option("", "the result itself"));
  field("weights").append(...content.weights.map((w, k) => option(k, w.observable ?? "")));
  field("weights-field").hidden = content.weights.length < 2;
  for (const [k, family] of Object.values(content.families).entries()) {
    const box = element("input", [], { type: "checkbox", name: "family", value: family.name, checked: true });
    field("families").append(
      element("label", [box, swatch(k), title(family.name)], { className: "choice", title: family.meaning }),
    );
  }
  if (!Object.keys(content.families).length) field("families").append("none: the result has no replicas");
}

// The message beside a field, with the place in the text where there is one; none clears it.
function complain(id, input, error) {
  const note = field(id);
  note.replaceChildren();
  if (error) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
  if (!error) return;
  note.append(error.message);
  if (error instanceof ExpressionError) {
    const [text, at] = [input.value, error.at];
    note.append(` (at character ${at + 1})`);
    const mark = element("mark", text[at]?.trim() ? text[at] : "\u00a0");
    note.append(element("code", [text.slice(0, at), mark, text.slice(at + 1)]));
  }
}

// The value of `read`, or undefined with its error beside the field.
function attempt(id, input, read) {
  try {
    const value = read();
    complain(id, input, null);
    return value;
  } catch (error) {
    complain(id, input, error);
    return undefined;
  }
}

export const refuse = (error) => complain("expression-error", field("expression"), error);

function tree(id, names, condition) {
  const input = field(id);
  return attempt(`${id}-error`, input, () => {
    if (!input.value.trim()) {
      if (condition) return null;
      throw new ExpressionError("write an observable or an expression", 0);
    }
    const found = parse(input.value, names);
    if (condition && !found.condition)
      throw new ExpressionError("a selection is a condition, such as m > 20", found.at);
    if (!condition && found.condition)
      throw new ExpressionError("this is a condition; write it under Selection", found.at);
    return found;
  });
}

function number(id, absent) {
  const text = field(id).value.trim();
  if (!text) return absent;
  const value = Number(text.replace("−", "-"));
  if (!Number.isFinite(value)) throw new Error(`${text} is not a number`);
  return value;
}

function edges(request, data) {
  const own = data.observable(request.tree)?.edges;
  document.querySelector("input[value=published]").disabled = !own;
  if (!own && chosen() === "published") choose("number");
  for (const id of ["number", "low", "high"]) field(id).disabled = chosen() !== "number";
  const wanted = { published: () => own, edges: written, number: () => equalBins(request, data) };
  const input = field(chosen() === "edges" ? "edges" : "number");
  for (const id of ["edges", "number"]) field(id).removeAttribute("aria-invalid");
  return attempt("bins-error", input, () => checked(wanted[chosen()]()));
}

function written() {
  const texts = field("edges")
    .value.split(/[\s,;]+/)
    .filter(Boolean);
  const bad = texts.find((text) => !Number.isFinite(Number(text)));
  if (bad) throw new Error(`${bad} is not a number; write edges such as 0, 10, 20`);
  return texts.map(Number);
}

function equalBins(request, data) {
  const [low, high] = data.range(request);
  [field("low").placeholder, field("high").placeholder] = [low, high];
  const bins = number("number", 20);
  if (!Number.isInteger(bins) || bins < 1) throw new Error("the number of bins must be a whole number above zero");
  const [from, to] = [number("low", low), number("high", high)];
  if (!(to > from)) throw new Error(`the range from ${from} to ${to} must increase`);
  return bins > 500 ? Array(bins + 1).fill(0) : equal(from, to, bins);
}

// All that the form asks for, or null where a field is wrong.
export function read(data) {
  const [expression, selection] = [tree("expression", data.names, false), tree("selection", data.names, true)];
  if (expression === undefined || selection === undefined) return null;
  const own = data.observable(expression);
  field("observable").value = own ? own.name : "";
  const request = {
    tree: expression,
    selection,
    own,
    key: [field("expression").value, field("selection").value],
    weights: Number(field("weights").value || 0),
    mode: field("mode").value,
    prediction: field("prediction").value,
    families: [...document.querySelectorAll("input[name=family]:checked")].map((box) => box.value),
  };
  request.edges = edges(request, data);
  if (!request.edges) return null;
  field("log-x").disabled = !(request.edges[0] > 0);
  request.log = { x: field("log-x").checked && request.edges[0] > 0, y: field("log-y").checked };
  return request;
}
