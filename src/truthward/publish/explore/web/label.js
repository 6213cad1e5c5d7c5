// Labels with LaTeX between dollar signs, as text with raised and lowered parts.

const LETTERS =
  "alpha α beta β gamma γ delta δ epsilon ε varepsilon ε zeta ζ eta η theta θ iota ι kappa κ lambda λ mu μ nu ν xi ξ pi π " +
  "rho ρ sigma σ tau τ upsilon υ phi φ varphi φ chi χ psi ψ omega ω Gamma Γ Delta Δ Theta Θ Lambda Λ Xi Ξ Pi Π Sigma Σ " +
  "Upsilon Υ Phi Φ Psi Ψ Omega Ω ell ℓ to → rightarrow → times × cdot · pm ± mp ∓ leq ≤ le ≤ geq ≥ ge ≥ neq ≠ approx ≈ " +
  "sim ~ infty ∞ sqrt √ sum ∑ partial ∂ circ ° prime ′ perp ⊥ parallel ∥ hbar ℏ ldots … dots … quad  degree ° langle ⟨ rangle ⟩ mid |";
const words = LETTERS.split(" ").filter(Boolean);
const SIGNS = Object.fromEntries(words.flatMap((word, k) => (k % 2 === 0 ? [[word, words[k + 1]]] : [])));
const FONTS =
  /^(mathrm|mathit|mathbf|mathcal|mathsf|text|textrm|textit|rm|it|operatorname|left|right|displaystyle|overline|bar|hat|vec)$/;

// The group in braces, the command or the character at a place: [its text, the place after it].
function group(text, place) {
  if (text[place] === "\\") {
    const command = text.slice(place).match(/^\\([A-Za-z]+|.)/)?.[0] ?? "\\";
    return [command, place + command.length];
  }
  if (text[place] !== "{") return [text[place] ?? "", place + 1];
  let depth = 0;
  for (let end = place; end < text.length; end++) {
    if (text[end] === "{") depth++;
    if (text[end] === "}" && --depth === 0) return [text.slice(place + 1, end), end + 1];
  }
  return [text.slice(place + 1), text.length];
}

function mathematics(text, level) {
  const runs = [];
  let place = 0;
  while (place < text.length) {
    const sign = text[place];
    if (sign === "_" || sign === "^") {
      const [inner, end] = group(text, place + 1);
      runs.push(...mathematics(inner, level || (sign === "_" ? "sub" : "sup")));
      place = end;
    } else if (sign === "{") {
      const [inner, end] = group(text, place);
      runs.push(...mathematics(inner, level));
      place = end;
    } else if (sign === "\\") {
      const [command, end] = group(text, place);
      const name = command.slice(1);
      place = end;
      if (SIGNS[name] !== undefined) runs.push([SIGNS[name], level]);
      else if (/^[,;:! ]$/.test(name)) runs.push([name === "!" ? "" : "\u2009", level]);
      else if (!FONTS.test(name)) runs.push([name, level]);
    } else {
      // As in LaTeX, a space of the source is none of the result.
      if (sign !== " " && sign !== "$") runs.push([sign === "-" ? "−" : sign, level]);
      place++;
    }
  }
  return runs;
}

// [[text, "" | "sub" | "sup"], ...]
export function runs(label) {
  const parts = label.split("$");
  if (parts.length % 2 === 0) return [[label, ""]];
  return parts.flatMap((part, k) => (k % 2 ? mathematics(part, "") : part ? [[part, ""]] : []));
}

export const plain = (label) =>
  runs(label)
    .map(([text]) => text)
    .join("");

export function nodes(label) {
  return runs(label).map(([text, level]) => {
    const node = level ? document.createElement(level) : document.createTextNode(text);
    if (level) node.textContent = text;
    return node;
  });
}

// "label [unit]" as nodes.
export function axis(label, unit) {
  return unit ? [...nodes(label), " [", ...nodes(unit), "]"] : nodes(label);
}

const RAISED = { "-": "⁻", ...Object.fromEntries([..."⁰¹²³⁴⁵⁶⁷⁸⁹"].map((c, k) => [k, c])) };

// A number in few digits: 1234, 0.012, 1.5×10⁻⁷.
export function short(value, digits = 4) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (value === 0 || (size >= 1e-3 && size < 1e5)) return String(Number(value.toPrecision(digits))).replace("-", "−");
  const [mantissa, power] = value.toExponential(digits - 1).split("e");
  const raised = [...String(Number(power))].map((c) => RAISED[c]).join("");
  const front = Number(mantissa);
  return `${front === 1 ? "" : `${front}×`}10${raised}`.replace("-", "−");
}
