// The figures: spectrum, ratio, uncertainties by source, and the correlation.
import { lineY, plot, pointerX, raster, rectY, ruleX, ruleY, tip } from "@observablehq/plot";
import { short } from "./label.js";

const [INK, TOTAL, STATISTICAL, OTHER] = ["#111827", "#bcd4f0", "#6fa3dc", "#c2410c"];
const COLOURS = [
  "#0072b2",
  "#d55e00",
  "#009e73",
  "#cc79a7",
  "#e69f00",
  "#56b4e9",
  "#7a5195",
  "#8c6d31",
  "#b30059",
  "#4d4d4d",
];
const DASHES = ["", "6 3", "2 2"];
export const SHADES = { INK, TOTAL, STATISTICAL, OTHER };
// A family of replicas keeps its colour, whichever are shown.
export const colour = (k) => COLOURS[k % COLOURS.length];
export const dash = (k) => DASHES[Math.floor(k / COLOURS.length) % DASHES.length];

const STYLE = { fontFamily: "inherit", fontSize: "12px", background: "none" };
const LEFT = 62;

function show(id, options) {
  const place = document.getElementById(id);
  const width = place.clientWidth;
  if (!width) return null;
  const figure = plot({ width, marginLeft: LEFT, marginRight: 14, style: STYLE, ...options });
  figure.setAttribute("role", "img");
  place.replaceChildren(figure);
  return figure;
}

// A horizontal line in each bin, joined, as points of a path.
const steps = (edges, values) =>
  values.flatMap((y, k) => [
    { x: edges[k], y },
    { x: edges[k + 1], y },
  ]);
const cells = (edges, values, sigma) =>
  values.map((y, k) => ({ x1: edges[k], x2: edges[k + 1], y1: y - sigma[k], y2: y + sigma[k] }));
const xScale = (edges, log, axis) => ({
  type: log ? "log" : "linear",
  domain: [edges[0], edges.at(-1)],
  label: null,
  ...(axis ? {} : { axis: null }),
});
const ticks = { tickFormat: (v) => short(v), label: null };

function spectrumRange({ values, sigma, other }, log) {
  const tops = [...values.map((v, k) => v + sigma[k]), ...(other ?? [])];
  const highest = Math.max(...tops);
  if (!log) return [Math.min(0, ...values.map((v, k) => v - sigma[k])), 1.06 * highest || 1];
  const positive = [...values, ...values.map((v, k) => v - sigma[k]), ...(other ?? [])].filter(
    (v) => v > 1e-6 * highest,
  );
  const lowest = Math.min(...positive);
  return [lowest / 2, 2 * highest];
}

// shown: {edges, values, sigma, statistical, other: contents of a prediction or null}; log: {x, y}
export function spectrum(shown, log, describe) {
  const { edges, values, sigma, statistical, other } = shown;
  const domain = spectrumRange(shown, log.y);
  const clip = (list) => list.map((c) => ({ ...c, y1: Math.max(c.y1, domain[0]), y2: Math.max(c.y2, domain[0]) }));
  const band = (list, fill) =>
    rectY(clip(cells(edges, values, list)), { x1: "x1", x2: "x2", y1: "y1", y2: "y2", fill, insetLeft: 0 });
  const visible = (list) => list.map((y) => (log.y && !(y > 0) ? NaN : y));
  const centres = values.map((y, k) => ({
    k,
    x: log.x ? Math.sqrt(edges[k] * edges[k + 1]) : (edges[k] + edges[k + 1]) / 2,
    y: Math.max(y, domain[0]),
  }));
  const figure = show("spectrum", {
    height: 330,
    marginTop: 10,
    marginBottom: 8,
    x: xScale(edges, log.x, false),
    y: { type: log.y ? "log" : "linear", domain, grid: true, ticks: 6, ...ticks },
    marks: [
      band(sigma, TOTAL),
      statistical ? band(statistical, STATISTICAL) : null,
      log.y ? null : ruleY([0], { strokeOpacity: 0.3 }),
      other
        ? lineY(steps(edges, visible(other)), {
            x: "x",
            y: "y",
            stroke: OTHER,
            strokeDasharray: "5 3",
            strokeWidth: 1.5,
          })
        : null,
      lineY(steps(edges, visible(values)), { x: "x", y: "y", stroke: INK, strokeWidth: 1.6 }),
      tip(centres, pointerX({ x: "x", y: "y", title: (d) => describe(d.k) })),
    ],
  });
  figure?.setAttribute("aria-label", "unfolded spectrum with its band; the table below has the numbers");
}

// Unfolded over the reference, with its band; reference: its contents, or null for the result itself.
export function ratio({ edges, values, sigma, statistical }, reference, logX) {
  const by = reference ?? values;
  const over = (list) => list.map((v, k) => (by[k] > 0 ? v / by[k] : NaN));
  const [centre, wide] = [over(values), over(sigma)];
  const reach = centre.map((c, k) => Math.abs(c - 1) + wide[k]).filter(Number.isFinite);
  const widest = Math.max(...reach, 0);
  const half = Math.min(Math.max(1.1 * (widest < 1 ? widest : quantile(reach, 0.9)), 0.01), 1);
  const domain = [1 - half, 1 + half];
  const within = (v) => Math.min(Math.max(v, domain[0]), domain[1]);
  const band = (list, fill) => {
    const boxes = cells(edges, centre, over(list)).filter((c) => Number.isFinite(c.y1) && Number.isFinite(c.y2));
    const inside = boxes.map((c) => ({ ...c, y1: within(c.y1), y2: within(c.y2) }));
    return rectY(inside, { x1: "x1", x2: "x2", y1: "y1", y2: "y2", fill });
  };
  const figure = show("ratio", {
    height: 150,
    marginTop: 8,
    marginBottom: 26,
    x: { ...xScale(edges, logX, true), ticks: 8, tickFormat: (v) => short(v) },
    y: { domain, grid: true, ticks: 4, ...ticks },
    marks: [
      band(sigma, TOTAL),
      statistical ? band(statistical, STATISTICAL) : null,
      ruleY([1], { stroke: reference ? OTHER : INK, strokeDasharray: "5 3" }),
      lineY(steps(edges, centre), { x: "x", y: "y", stroke: INK, strokeWidth: 1.6, clip: true }),
    ],
  });
  figure?.setAttribute("aria-label", "ratio with its band");
}

function quantile(list, share) {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.floor(share * (sorted.length - 1))] : 1;
}

// families: [{k: number of its colour, sigma}]
export function breakdown({ edges, values, sigma }, families, logX) {
  const relative = (list) => list.map((s, k) => (values[k] > 0 ? (100 * s) / values[k] : NaN));
  const sizes = relative(sigma).filter(Number.isFinite);
  const highest = Math.max(1.08 * Math.min(Math.max(0, ...sizes), 4 * quantile(sizes, 0.75)), 1e-3);
  const path = (list, options) => lineY(steps(edges, relative(list)), { x: "x", y: "y", clip: true, ...options });
  const figure = show("breakdown", {
    height: 300,
    marginTop: 10,
    marginBottom: 26,
    x: { ...xScale(edges, logX, true), ticks: 8, tickFormat: (v) => short(v) },
    y: { domain: [0, highest], grid: true, ticks: 6, ...ticks },
    marks: [
      ...families.map((f) =>
        path(f.sigma, { stroke: colour(f.k), strokeDasharray: dash(f.k) || null, strokeWidth: 1.6 }),
      ),
      path(sigma, { stroke: INK, strokeWidth: 2.2 }),
    ],
  });
  figure?.setAttribute("aria-label", "relative uncertainty in each bin, by source");
}

// matrix: B x B numbers from -1 to 1, NaN where there is none. pointed(a, b) is called with bins, or without.
export function correlation(edges, matrix, pointed) {
  const size = edges.length - 1;
  const place = document.getElementById("correlation");
  const side = Math.min(place.clientWidth, 460);
  const step = Math.ceil(size / Math.max(2, Math.floor(side / 70)));
  const borders = edges.map((_, k) => k).filter((k) => k % step === 0);
  const scale = { domain: [0, size], ticks: borders, tickFormat: (k) => short(edges[k]), label: null };
  const figure = show("correlation", {
    width: side,
    height: side + 24,
    marginTop: 8,
    marginBottom: 40,
    marginLeft: LEFT,
    x: { ...scale, tickRotate: -35 },
    y: scale,
    color: { type: "linear", domain: [-1, 1], scheme: "RdBu", reverse: true },
    marks: [
      raster(matrix, { width: size, height: size, x1: 0, y1: 0, x2: size, y2: size, imageRendering: "pixelated" }),
      ruleX([0]),
      ruleY([0]),
    ],
  });
  if (!figure) return;
  figure.setAttribute("aria-label", "correlation matrix of the bins; the download has the covariance");
  const [x, y] = [figure.scale("x"), figure.scale("y")];
  figure.addEventListener("pointermove", (event) => {
    const box = figure.getBoundingClientRect();
    const [a, b] = [x.invert(event.clientX - box.left), y.invert(event.clientY - box.top)].map(Math.floor);
    if (a >= 0 && b >= 0 && a < size && b < size) pointed(a, b);
    else pointed();
  });
  figure.addEventListener("pointerleave", () => pointed());
}
