// The table on the page and its downloads.
import { plain, short } from "./label.js";

// What a spreadsheet or a YAML reader must not see as several lines.
const line = (text) => String(text).replace(/\s+/g, " ");
const cell = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

function notes(result) {
  const { content } = result;
  const cut = result.selection ? [`selection: ${result.selection}`] : [];
  return [
    `unfolded events: ${content.study}, method ${content.method.method}`,
    `quantity: ${result.quantity} of ${result.expression}${result.unit ? ` [${plain(result.unit)}]` : ""}`,
    ...cut,
    `uncertainty: ${result.stated}`,
    ...(result.predicted ? [`prediction: ${result.predicted.label}`] : []),
    `fiducial region: ${content.fiducial}`,
    `licence: ${content.licence}`,
  ].map(line);
}

// low, high, value, total, one column a family, the prediction if there is one, and the covariance of the total.
export function csv(result) {
  const { edges, values, sigma, families, covariance, predicted } = result;
  const size = values.length;
  const names = [...families.map((f) => f.name), ...(predicted ? ["prediction"] : [])];
  const head = ["low", "high", "value", "total", ...names, ...values.map((_, k) => `covariance ${k}`)];
  const rows = values.map((value, b) => [
    edges[b],
    edges[b + 1],
    value,
    sigma[b],
    ...families.map((f) => f.sigma[b]),
    ...(predicted ? [predicted.contents[b]] : []),
    ...covariance.slice(b * size, (b + 1) * size),
  ]);
  const lines = [head.map(cell), ...rows].map((row) => row.join(","));
  return [...notes(result).map((text) => `# ${text}`), ...lines].join("\n") + "\n";
}

// Texts in the quotes of JSON are texts of YAML too.
const text = (value) => JSON.stringify(line(value));
const header = (name, units) => `header: {name: ${text(name)}${units ? `, units: ${text(units)}` : ""}}`;
const ends = (edges, k) => `{low: ${edges[k]}, high: ${edges[k + 1]}}`;

// Two tables as in the folder hepdata: the contents with an error for each family, and their covariance.
export function yaml(result) {
  const { edges, values, families, covariance, content, predicted } = result;
  const size = values.length;
  const [x, unit] = [result.label, result.unit];
  const qualifiers = [
    ["Fiducial region", content.fiducial],
    ...(result.selection ? [["Selection", result.selection]] : []),
    ["Uncertainty", result.stated],
  ].map(([name, value]) => `  - {name: ${text(name)}, value: ${text(value)}}`);
  const bins = [...values.keys()];
  const contents = bins.map((b) => {
    // HEPData refuses errors that are all zero; one below 1e-6 of the content is rounding.
    const errors = families.filter((f) => f.sigma[b] > 1e-6 * Math.abs(values[b]));
    const list = errors.map((f) => `{symerror: ${f.sigma[b]}, label: ${text(f.label)}}`).join(", ");
    return `  - {value: ${values[b]}${list ? `, errors: [${list}]` : ""}}`;
  });
  const column = (name, units, lines) => [`- ${header(name, units)}`, "  values:", ...lines.map((l) => `  - ${l}`)];
  const pairs = bins.flatMap((a) => bins.map((b) => [a, b]));
  return [
    ...notes(result).map((note) => `# ${note}`),
    "independent_variables:",
    ...column(
      x,
      unit,
      bins.map((b) => ends(edges, b)),
    ),
    "dependent_variables:",
    `- ${header(result.quantity, result.yUnit)}`,
    "  qualifiers:",
    ...qualifiers,
    "  values:",
    ...contents,
    ...(predicted
      ? column(
          predicted.label,
          result.yUnit,
          predicted.contents.map((v) => `{value: ${v}}`),
        )
      : []),
    "---",
    "independent_variables:",
    ...column(
      `${x}, first bin`,
      unit,
      pairs.map(([a]) => ends(edges, a)),
    ),
    ...column(
      `${x}, second bin`,
      unit,
      pairs.map(([, b]) => ends(edges, b)),
    ),
    "dependent_variables:",
    `- ${header(`covariance, ${result.stated}`, result.yUnit ? `(${result.yUnit})$^2$` : "")}`,
    "  values:",
    ...pairs.map(([a, b]) => `  - {value: ${covariance[a * size + b]}}`),
    "",
  ].join("\n");
}

export function html(result) {
  const head = ["from", "to", "value", "± total", ...result.families.map((f) => `± ${f.title}`)];
  const table = document.createElement("table");
  const rows = [
    head,
    ...result.values.map((v, b) => [
      ...[result.edges[b], result.edges[b + 1]].map((e) => short(e, 6)),
      short(v),
      short(result.sigma[b], 3),
      ...result.families.map((f) => short(f.sigma[b], 3)),
    ]),
  ];
  for (const [k, row] of rows.entries()) {
    const line = table.insertRow();
    for (const content of row) {
      const part = document.createElement(k ? "td" : "th");
      if (!k) part.scope = "col";
      part.textContent = content;
      line.append(part);
    }
  }
  return table;
}

export function save(name, kind, content) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type: kind }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
