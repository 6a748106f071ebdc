// JSON as it was stored: numbers by their text, names in their order, names that come twice.

/**
 * @typedef {{ kind: "object", entries: [string, Node][] } | { kind: "array", items: Node[] }
 *   | { kind: "string", value: string } | { kind: "number" | "literal", text: string }} Node
 */

const NUMBER = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const STRING = /"(?:[^"\\]|\\.)*"/y;
const LITERAL = /true|false|null/y;
const SPACE = /[\s]*/y;

/**
 * Parse a JSON text. Throws SyntaxError for another text.
 * @param {string} text
 * @returns {Node}
 */
export function parseExact(text) {
  let at = 0;
  /** @param {RegExp} token */
  const take = (token) => {
    token.lastIndex = at;
    const found = token.exec(text)?.[0];
    if (found === undefined) throw new SyntaxError(`no JSON at character ${at + 1}`);
    at += found.length;
    return found;
  };
  const skip = () => take(SPACE);
  /** @param {string} mark */
  const has = (mark) => {
    skip();
    if (text[at] !== mark) return false;
    at += 1;
    return true;
  };
  /** @param {string} mark */
  const expect = (mark) => {
    if (!has(mark)) throw new SyntaxError(`expected ${mark} at character ${at + 1}`);
  };
  /** @returns {Node} */
  const value = () => {
    skip();
    if (has("{")) {
      /** @type {[string, Node][]} */
      const entries = [];
      if (has("}")) return { kind: "object", entries };
      do {
        skip();
        const name = JSON.parse(take(STRING));
        expect(":");
        entries.push([name, value()]);
      } while (has(","));
      expect("}");
      return { kind: "object", entries };
    }
    if (has("[")) {
      /** @type {Node[]} */
      const items = [];
      if (has("]")) return { kind: "array", items };
      do items.push(value());
      while (has(","));
      expect("]");
      return { kind: "array", items };
    }
    if (text[at] === '"') return { kind: "string", value: JSON.parse(take(STRING)) };
    if (text[at] === "-" || (text[at] ?? "") <= "9") return { kind: "number", text: take(NUMBER) };
    return { kind: "literal", text: take(LITERAL) };
  };
  const node = value();
  skip();
  if (at < text.length) throw new SyntaxError(`more text at character ${at + 1}`);
  return node;
}

/**
 * Return a member of an object, undefined if it has none.
 * @param {Node | undefined} node
 * @param {...(string | number)} path
 * @returns {Node | undefined}
 */
export function member(node, ...path) {
  let found = node;
  for (const part of path) {
    if (found?.kind === "object") found = found.entries.find(([name]) => name === part)?.[1];
    else if (found?.kind === "array") found = found.items[Number(part)];
    else return undefined;
  }
  return found;
}

/**
 * Return the text of a value, indented by two spaces a level.
 * @param {Node} node
 * @param {string} [indent]
 * @returns {string}
 */
export function pretty(node, indent = "") {
  const inner = `${indent}  `;
  if (node.kind === "object") {
    if (node.entries.length === 0) return "{}";
    return `{\n${node.entries.map(([name, child]) => `${inner}${JSON.stringify(name)}: ${pretty(child, inner)}`).join(",\n")}\n${indent}}`;
  }
  if (node.kind === "array") {
    if (node.items.length === 0) return "[]";
    if (node.items.every((item) => item.kind === "number" || item.kind === "literal")) return compact(node);
    return `[\n${node.items.map((item) => inner + pretty(item, inner)).join(",\n")}\n${indent}]`;
  }
  return compact(node);
}

/**
 * Return the text of a value in one line.
 * @param {Node} node
 * @returns {string}
 */
export function compact(node) {
  if (node.kind === "object") return `{${node.entries.map(([name, child]) => `${JSON.stringify(name)}: ${compact(child)}`).join(", ")}}`;
  if (node.kind === "array") return `[${node.items.map(compact).join(", ")}]`;
  return node.kind === "string" ? JSON.stringify(node.value) : node.text;
}
