// Expressions of observables: the grammar of truthward.study.syntax without lists. The text is parsed, never executed.
// Comparisons bind closer than & | ~, so `m > 20 & M < 50` needs no parentheses.

const unary = { abs: Math.abs, floor: Math.floor, sqrt: Math.sqrt, exp: Math.exp, log: Math.log, log10: Math.log10 };
const angles = { sin: Math.sin, cos: Math.cos, tan: Math.tan, arctan: Math.atan };
const hyperbolic = { sinh: Math.sinh, cosh: Math.cosh, tanh: Math.tanh };
const binary = { arctan2: Math.atan2, hypot: Math.hypot, minimum: Math.min, maximum: Math.max };
const special = {
  isfinite: (x) => (Number.isFinite(x) ? 1 : 0),
  where: (condition, yes, no) => (condition ? yes : no),
};
export const FUNCTIONS = { ...unary, ...angles, ...hyperbolic, ...binary, ...special };

const LONGEST = 1000;
const DEEPEST = 100;
const LARGEST_POWER = 16;
const ONE = { pi: Math.PI, True: true, False: false };
const TOKEN =
  /\s*(?:(\d[\d_]*(?:\.[\d_]*)?(?:[eE][+-]?\d+)?|\.\d[\d_]*(?:[eE][+-]?\d+)?)|([\p{L}_][\p{L}\p{N}_]*)|`([^`\n]+)`|(\*\*|<=|>=|==|!=|[-+*/<>&|~(),]))/uy;

// at: place of the error in the text, from 0.
export class ExpressionError extends Error {
  constructor(message, at) {
    super(message);
    this.at = at;
  }
}

function tokens(text) {
  const found = [];
  let place = 0;
  while (text.slice(place).trim()) {
    TOKEN.lastIndex = place;
    const match = TOKEN.exec(text);
    if (!match) {
      const at = place + text.slice(place).search(/\S/);
      throw new ExpressionError(`${text[at]} is not allowed here`, at);
    }
    const [whole, number, word, quoted, sign] = match;
    const at = place + whole.search(/\S/);
    place += whole.length;
    const kind = number ? "number" : word || quoted ? "name" : "sign";
    if (kind !== "sign" && /[\p{L}\p{N}_.]/u.test(text[place] ?? "")) {
      throw new ExpressionError("an operator is missing", place);
    }
    found.push({ kind, text: number ?? word ?? quoted ?? sign, quoted: Boolean(quoted), at });
  }
  found.push({ kind: "end", text: "the end", at: text.length });
  return found;
}

// Tree of {type, condition, at, ...}; `condition` tells what is true or false from numbers.
export function parse(text, names) {
  if (text.length > LONGEST) throw new ExpressionError(`longer than ${LONGEST} characters`, LONGEST);
  const list = tokens(text);
  let next = 0;
  let depth = 0;
  const peek = (...signs) => list[next].kind === "sign" && signs.includes(list[next].text);
  const fail = (message, token = list[next]) => {
    throw new ExpressionError(message, token.at);
  };

  const number = (node) => node;
  const condition = (node) => {
    if (!node.condition) fail("a number where a condition is needed", node);
    return node;
  };
  const plain = (node) => {
    if (node.condition) fail("a condition where a number is needed; join conditions with & | ~", node);
    return node;
  };
  const nested = (inner) => {
    if (++depth > DEEPEST) fail(`nested more than ${DEEPEST} deep`);
    const made = inner();
    depth--;
    return made;
  };

  function chain(part, signs, check, isCondition) {
    let left = part();
    while (peek(...signs)) {
      const operator = list[next++];
      const nodes = [check(left), check(part())];
      left = { type: "operator", operator: operator.text, nodes, condition: isCondition, at: left.at };
    }
    return left;
  }
  const either = () => chain(both, ["|"], condition, true);
  const both = () => chain(negated, ["&"], condition, true);
  const sum = () => chain(product, ["+", "-"], number, false);
  const product = () => chain(signed, ["*", "/"], number, false);

  function negated() {
    if (!peek("~")) return compared();
    const { at } = list[next++];
    return { type: "not", nodes: [condition(nested(negated))], condition: true, at };
  }

  function compared() {
    const nodes = [sum()];
    const operators = [];
    while (peek("<", "<=", ">", ">=", "==", "!=")) {
      operators.push(list[next++].text);
      nodes.push(sum());
    }
    if (!operators.length) return nodes[0];
    return { type: "compare", operators, nodes: nodes.map(plain), condition: true, at: nodes[0].at };
  }

  function signed() {
    if (!peek("+", "-")) return power();
    const { text: sign, at } = list[next++];
    const node = nested(signed);
    return sign === "-" ? { type: "minus", nodes: [node], condition: false, at } : { ...node, condition: false, at };
  }

  function power() {
    const base = atom();
    if (!peek("**")) return base;
    next++;
    const exponent = nested(signed);
    const literal = exponent.type === "minus" ? exponent.nodes[0] : exponent;
    const value = exponent.type === "minus" ? -literal.value : literal.value;
    if (literal.type !== "number" || !(Math.abs(value) <= LARGEST_POWER)) {
      fail(`an exponent must be a number from -${LARGEST_POWER} to ${LARGEST_POWER}`, exponent);
    }
    return { type: "power", nodes: [base], value, condition: false, at: base.at };
  }

  function atom() {
    const token = list[next];
    if (token.kind === "number") {
      next++;
      const value = Number(token.text.replaceAll("_", ""));
      if (!(value <= 2 ** 63)) fail("a number beyond 2^63", token);
      return { type: "number", value, condition: false, at: token.at };
    }
    if (peek("(")) {
      next++;
      const node = nested(either);
      close();
      return node;
    }
    if (token.kind !== "name") {
      fail(
        token.kind === "end"
          ? "something is missing at the end"
          : `a number or an observable is needed, not ${token.text}`,
      );
    }
    next++;
    if (peek("(") && !token.quoted) return call(token);
    if (names.includes(token.text)) return { type: "name", name: token.text, condition: false, at: token.at };
    if (Object.hasOwn(ONE, token.text) && !token.quoted) {
      const value = ONE[token.text];
      return { type: "constant", constant: Number(value), condition: value !== Math.PI, at: token.at };
    }
    if (Object.hasOwn(FUNCTIONS, token.text)) fail(`${token.text} needs arguments in parentheses`, token);
    if (["and", "or", "not"].includes(token.text)) fail("conditions are joined with & | ~", token);
    return fail(`no observable ${token.text}; there are: ${names.join(", ")}`, token);
  }

  function call(token) {
    if (!Object.hasOwn(FUNCTIONS, token.text)) {
      fail(`no function ${token.text}; there are: ${Object.keys(FUNCTIONS).join(", ")}`, token);
    }
    next++;
    const nodes = [];
    while (!peek(")")) {
      nodes.push(nested(either));
      if (!peek(",")) break;
      next++;
    }
    close();
    const wanted = FUNCTIONS[token.text].length;
    if (nodes.length !== wanted) fail(`${token.text} takes ${wanted} argument(s), ${nodes.length} given`, token);
    if (token.text === "where") condition(nodes[0]);
    return { type: "call", name: token.text, nodes, condition: token.text === "isfinite", at: token.at };
  }

  function close() {
    if (!peek(")"))
      fail(list[next].kind === "end" ? "a parenthesis is not closed" : `) is needed, not ${list[next].text}`);
    next++;
  }

  const tree = either();
  if (list[next].kind !== "end") fail(`an operator is needed, not ${list[next].text}`);
  return tree;
}

export const namesOf = (node) => (node.type === "name" ? [node.name] : (node.nodes ?? []).flatMap(namesOf));
