// From what the form asks for to the numbers of the figures and tables.
import { compile } from "./evaluate.js";
import { added, automatic, binned, correlation, covariance, fill, merged, shaped, sigmas } from "./histogram.js";
import { namesOf } from "./parse.js";

export class Data {
  // content: of the element `content`. columns: name -> {values, start}, which grows while the page is read.
  constructor(content) {
    this.content = content;
    this.columns = new Map();
    this.rows = content.events;
    this.families = Object.values(content.families);
    this.kept = {};
  }

  get names() {
    return this.content.observables.map((o) => o.name);
  }

  has(weights) {
    return Object.values(this.content.weights[weights].families).every((names) =>
      names.every((n) => this.columns.has(n)),
    );
  }

  // The observable that an expression is, if it is no more than its name.
  observable(tree) {
    return tree.type === "name" ? this.content.observables.find((o) => o.name === tree.name) : undefined;
  }

  value(tree) {
    return compile(tree, (name) => this.columns.get(`truth_${name}`).values);
  }

  // A range for values without published bins, from events with a weight.
  range({ tree, selection, weights }) {
    const [x, selected] = [this.value(tree), selection && this.value(selection)];
    const nominal = this.columns.get(this.content.weights[weights].nominal);
    const end = nominal.start + nominal.values.length;
    const found = [];
    for (let i = nominal.start; i < end; i++) {
      if (nominal.values[i - nominal.start] !== 0 && (!selected || selected(i)) && Number.isFinite(x(i)))
        found.push(x(i));
    }
    return automatic(found);
  }

  // Contents {nominal, replicas: family -> list} in bins, kept until another histogram is asked for.
  histogram({ tree, selection, edges, weights, key }) {
    const set = this.content.weights[weights];
    const complete = this.has(weights);
    const full = JSON.stringify([key, edges, weights, complete]);
    if (this.kept.key === full) return this.kept;
    const cells = binned(this.value(tree), selection && this.value(selection), this.rows, edges);
    if (cells.bad) {
      const advice = selection ? "narrow the selection" : "select those that are, as with isfinite(...)";
      throw new Error(`${cells.bad} of ${cells.chosen} values are not finite: ${advice}`);
    }
    const size = edges.length - 1;
    const sums = (name) => fill(cells, this.columns.get(name), size);
    const replicas = complete
      ? Object.fromEntries(Object.entries(set.families).map(([f, names]) => [f, names.map(sums)]))
      : null;
    this.kept = { key: full, nominal: sums(set.nominal), replicas, chosen: cells.chosen };
    return this.kept;
  }

  // What figures and tables show. families: names of those in the band.
  result(request) {
    const { edges, mode, families } = request;
    const scale = mode === "cross" ? 1 / this.content.normalisation.luminosity_per_fb : 1;
    const { nominal, replicas, chosen } = this.histogram(request);
    const shape = (contents) => shaped(contents, edges, mode, scale);
    const values = shape(nominal);
    const size = values.length;
    const found = replicas ? this.families.filter((f) => families.includes(f.name)) : [];
    const parts = found.map((family) => {
      const matrix = covariance(family, replicas[family.name].map(shape), values);
      return { ...family, matrix, sigma: sigmas(matrix, size) };
    });
    const whole = added(
      parts.map((p) => p.matrix),
      size,
    );
    const bootstraps = parts.filter((p) => p.name.endsWith("_bootstrap")).map((p) => p.matrix);
    return {
      edges,
      values,
      families: parts,
      covariance: Array.from(whole),
      sigma: sigmas(whole, size),
      statistical: bootstraps.length && bootstraps.length < parts.length ? sigmas(added(bootstraps, size), size) : null,
      correlation: correlation(whole, size),
      rank: found.reduce((sum, f) => sum + f.count - f.ddof, 0),
      complete: Boolean(replicas),
      chosen,
    };
  }

  // Contents of a prediction, or null where it is not known for what is shown.
  predicted(number, { tree, selection, edges, mode }) {
    const entry = this.content.predictions[number];
    const scale = mode === "cross" ? 1 / this.content.normalisation.luminosity_per_fb : 1;
    const contents = entry.histograms
      ? this.binnedContents(entry, tree, selection, edges)
      : this.eventContents(entry, tree, selection, edges);
    return contents && shaped(contents, edges, mode, scale);
  }

  binnedContents(entry, tree, selection, edges) {
    const own = !selection && tree.type === "name" && entry.histograms[tree.name];
    return own ? merged(own, edges) : null;
  }

  eventContents(entry, tree, selection, edges) {
    const weights = this.columns.get(entry.weights);
    const needed = [tree, selection].filter(Boolean).flatMap(namesOf);
    const name = (n) => (entry.columns ? entry.columns[n] : `truth_${n}`);
    if (needed.some((n) => !this.columns.has(name(n)))) return null;
    const [x, selected] = [tree, selection].map(
      (node) => node && compile(node, (n) => this.columns.get(name(n)).values),
    );
    const cells = binned(x, selected, weights.values.length, edges);
    return cells.bad ? null : fill(cells, weights, edges.length - 1);
  }
}
