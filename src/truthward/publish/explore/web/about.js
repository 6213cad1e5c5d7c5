// What a reader must know of the publication, from its metadata.

const WORDS = { good: "good", warnings: "with warnings", failed: "failed" };

export function element(name, content = [], attributes = {}) {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...[content].flat());
  return made;
}

const list = (items) =>
  element(
    "ul",
    items.map((item) => element("li", item)),
  );

export function header(content) {
  const { method, events } = content;
  const iterations = method.iterations == null ? "" : `, ${method.iterations} iterations`;
  document.getElementById("title").textContent = `Unfolded events: ${content.study}`;
  document.getElementById("subtitle").textContent =
    `${events.toLocaleString("en")} weighted events at particle level, unfolded with ${method.method} (${method.kind}${iterations}).`;
  const { verdict, reasons, without_truth: blind } = content.verdict;
  const said = [...reasons, ...(blind ? ["judged without the truth, which is not known"] : [])];
  const note = document.getElementById("verdict");
  note.className = verdict;
  note.append(element("strong", `Verdict: ${WORDS[verdict] ?? verdict}`));
  if (said.length) note.append(list(said));
}

function families(all) {
  const entries = Object.values(all).flatMap((f) => {
    const replicas = `${f.count} ${f.count === 1 ? "replica" : "replicas"}: ${f.statement.replaceAll("_", " ")} about the ${f.centre}`;
    return [element("dt", f.name), element("dd", [f.meaning, element("small", ` (${replicas})`)])];
  });
  return element("dl", entries);
}

export function about(content) {
  const { made, normalisation } = content;
  const sums = Object.entries(normalisation.sum_of_weights).map(([name, sum]) => `${name}: ${sum.toPrecision(6)}`);
  const luminosity = normalisation.luminosity_per_fb;
  const entries = [
    ["Fiducial region", content.fiducial],
    ["Particle level", content.particle_level ?? "not stated"],
    ["Unfolded observables", content.unfolded_observables.join(", ")],
    ["Band of all sources", content.uncertainty],
    ["Sum of weights", sums.join(", ")],
    ["Normalisation", normalisation.rule],
    ...(luminosity == null ? [] : [["Luminosity", `${luminosity} per fb`]]),
    ["Licence", content.licence],
    ...(content.doi ? [["DOI", content.doi]] : []),
    ...(content.cite ? [["Cite as", content.cite]] : []),
    [
      "Made by",
      `${made.package} ${made.version} (${made.commit?.slice(0, 10) ?? "unknown commit"}), seed ${made.seed}`,
    ],
    ["Files", "events.parquet has the same events and weights, metadata.json all of this for machines"],
  ];
  const terms = entries.flatMap(([name, value]) => [element("dt", name), element("dd", String(value))]);
  const found = [element("h2", "About these events"), element("dl", terms)];
  if (content.caveats.length) found.push(element("h2", "Before use"), list(content.caveats));
  if (Object.keys(content.families).length)
    found.push(element("h2", "Sources of uncertainty"), families(content.families));
  document.getElementById("about").append(...found);
}
