// Histograms with replicas: the arithmetic of truthward.events.bins and truthward.events.families.

export const MOST_BINS = 500;

// Edges in single precision, the last one raised to the next number, so that its bin has its upper edge.
function inner(edges) {
  const single = Float32Array.from(edges);
  const last = single.subarray(edges.length - 1);
  const bits = new Int32Array(last.buffer, last.byteOffset, 1);
  if (last[0] === 0) bits[0] = 1;
  else bits[0] += last[0] > 0 ? 1 : -1;
  return single;
}

export function checked(edges) {
  if (edges.length < 2) throw new Error("at least two edges are needed");
  if (edges.length - 1 > MOST_BINS) throw new Error(`${edges.length - 1} bins are too many; use at most ${MOST_BINS}`);
  const bad = edges.findIndex(
    (e, k) => !Number.isFinite(e) || (k > 0 && !(Math.fround(e) > Math.fround(edges[k - 1]))),
  );
  if (bad >= 0) throw new Error(`edges must increase (in single precision); see ${edges[bad]}`);
  return edges;
}

// The selected events within the edges and their bins. value and selected: functions of the event's number.
export function binned(value, selected, rows, edges) {
  const limits = inner(edges);
  const events = new Uint32Array(rows);
  const bins = new Uint16Array(rows);
  const one = new Float32Array(1);
  let [count, chosen, bad] = [0, 0, 0];
  for (let i = 0; i < rows; i++) {
    if (selected && !selected(i)) continue;
    chosen++;
    const x = value(i);
    if (!Number.isFinite(x)) {
      bad++;
      continue;
    }
    one[0] = x;
    let [low, high] = [0, limits.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (one[0] < limits[middle]) high = middle;
      else low = middle + 1;
    }
    if (low === 0 || low === limits.length) continue;
    events[count] = i;
    bins[count++] = low - 1;
  }
  return { events: events.subarray(0, count), bins: bins.subarray(0, count), chosen, bad };
}

const firstFrom = (events, row) => {
  let [low, high] = [0, events.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (events[middle] < row) low = middle + 1;
    else high = middle;
  }
  return low;
};

export function fill({ events, bins }, { values, start }, size) {
  const sums = new Float64Array(size);
  const end = firstFrom(events, start + values.length);
  for (let k = firstFrom(events, start); k < end; k++) sums[bins[k]] += values[events[k] - start];
  return sums;
}

export const widths = (edges) => edges.slice(1).map((high, k) => high - edges[k]);
const total = (list) => list.reduce((a, b) => a + b, 0);

// What `Histogram.density` and `Histogram.normalised` do; scale: 1 over the luminosity for cross sections.
export function shaped(contents, edges, mode, scale = 1) {
  const size = widths(edges);
  if (mode === "yield") return [...contents];
  const whole = mode === "normalised" ? total(contents) : 1 / scale;
  if (!(whole > 0)) throw new Error("the sum of the weights in these bins is not positive");
  return [...contents].map((c, k) => c / whole / size[k]);
}

// Covariance (B x B, row by row) of one family: `Family.covariance`.
export function covariance(family, replicas, nominal) {
  const [size, count] = [nominal.length, replicas.length];
  const centre = family.centre === "mean" ? nominal.map((_, b) => total(replicas.map((r) => r[b])) / count) : nominal;
  const divisor = (family.count - family.ddof) * (family.statement === "error_of_mean" ? family.count : 1);
  const matrix = new Float64Array(size * size);
  for (const replica of replicas) {
    const distance = replica.map((content, b) => content - centre[b]);
    for (let a = 0; a < size; a++) {
      for (let b = 0; b < size; b++) matrix[a * size + b] += (distance[a] * distance[b]) / divisor;
    }
  }
  return matrix;
}

export function added(matrices, size) {
  const sum = new Float64Array(size * size);
  for (const matrix of matrices) matrix.forEach((v, k) => (sum[k] += v));
  return sum;
}

export const sigmas = (matrix, size) => Array.from({ length: size }, (_, b) => Math.sqrt(matrix[b * size + b]));

// NaN in bins without uncertainty.
export function correlation(matrix, size) {
  const sigma = sigmas(matrix, size);
  return Array.from(matrix, (v, k) => {
    const norm = sigma[Math.floor(k / size)] * sigma[k % size];
    return norm > 0 ? v / norm : NaN;
  });
}

// Contents of a finer histogram in these edges, or null where an edge is not among its own.
export function merged({ edges: own, contents }, edges) {
  const near = (a, b) =>
    Math.abs(a - b) <= 1e-6 * Math.max(Math.abs(a), Math.abs(b), (own.at(-1) - own[0]) / own.length);
  const places = edges.map((edge) => own.findIndex((e) => near(e, edge)));
  if (places.includes(-1)) return null;
  return places.slice(1).map((end, k) => total(contents.slice(places[k], end)));
}

// Edges for what has no published bins: a rounded range of nearly all values.
export function automatic(values) {
  const sorted = Float64Array.from(values).sort();
  if (!sorted.length) return [0, 1];
  const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
  let [low, high] = [at(0.005), at(0.985)];
  if (!(high > low)) return [low - 0.5, low + 0.5];
  const unit = 10 ** Math.floor(Math.log10(high - low) - 0.5);
  // A distribution may begin at a cut: a first bin across it would be partly empty.
  const cut = sorted[0];
  const part =
    [1, 2, 5, 10, 20, 50, 100].find((p) => cut - (Math.floor((low / unit) * p) / p) * unit <= 0.005 * (high - low)) ??
    100;
  low = (Math.floor((low / unit) * part) / part) * unit;
  high = Math.ceil(high / unit) * unit;
  return [low, high].map((v) => Number(v.toPrecision(6)));
}

// Equal bins without the rounding of sums: 0.3, not 0.30000000000000004.
export const equal = (low, high, number) =>
  Array.from({ length: number + 1 }, (_, k) =>
    k === number ? high : Number((low + ((high - low) * k) / number).toPrecision(13)),
  );
