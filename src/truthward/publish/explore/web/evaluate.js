// Values of expressions in double precision, as truthward.events.expression has them.
import { FUNCTIONS } from "./parse.js";

const OPERATORS = {
  "+": (a, b) => (i) => a(i) + b(i),
  "-": (a, b) => (i) => a(i) - b(i),
  "*": (a, b) => (i) => a(i) * b(i),
  "/": (a, b) => (i) => a(i) / b(i),
  "&": (a, b) => (i) => (a(i) && b(i) ? 1 : 0),
  "|": (a, b) => (i) => (a(i) || b(i) ? 1 : 0),
};
const COMPARE = {
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
  "==": (a, b) => a === b,
  "!=": (a, b) => a !== b,
};

// A function of the event's number; conditions give 1 or 0. column(name) gives the values of an observable.
export function compile(node, column) {
  const parts = (node.nodes ?? []).map((part) => compile(part, column));
  const [a, b, c] = parts;
  switch (node.type) {
    case "number":
      return () => node.value;
    case "constant":
      return () => node.constant;
    case "name": {
      const values = column(node.name);
      return (i) => values[i];
    }
    case "operator":
      return OPERATORS[node.operator](a, b);
    case "minus":
      return (i) => -a(i);
    case "not":
      return (i) => (a(i) ? 0 : 1);
    case "power":
      return node.value === 2 ? (i) => a(i) * a(i) : (i) => a(i) ** node.value;
    case "compare": {
      const tests = node.operators.map((operator) => COMPARE[operator]);
      return (i) => (tests.every((test, k) => test(parts[k](i), parts[k + 1](i))) ? 1 : 0);
    }
  }
  const f = FUNCTIONS[node.name];
  return parts.length === 1 ? (i) => f(a(i)) : parts.length === 2 ? (i) => f(a(i), b(i)) : (i) => f(a(i), b(i), c(i));
}
