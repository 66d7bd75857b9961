// A small graph of what an artifact was made of and what was made of it; every node is a link.

import { artifactPath, ask } from "../api.js";
import { fill, foreign, h, plain } from "../element.js";
import { artifactAddress, artifactsAddress } from "../route.js";
import { count } from "../wording.js";
import { DERIVATIVES, SOURCES, TYPES } from "./artifact-words.js";

const DEPTH = 2;
const MOST = 5;
const SVG = "http://www.w3.org/2000/svg";

export class Lineage {
  /**
   * @param {object} artifact
   * @param {object} relations Its relationships.
   * @param {AbortSignal} signal
   */
  constructor(artifact, relations, signal) {
    this.signal = signal;
    this.center = artifact;
    this.nodes = new Map([[artifact.id, { id: artifact.id, type: artifact.type, title: artifact.title, level: 0 }]]);
    this.edges = [];
    this.hidden = new Map();
    this.lines = document.createElementNS(SVG, "svg");
    this.lines.setAttribute("aria-hidden", "true");
    this.columns = h("ol.lineage-columns", {});
    this.element = h("div.lineage", {}, this.lines, this.columns);
    const watch = new ResizeObserver(() => this.drawLines());
    watch.observe(this.element);
    signal.addEventListener("abort", () => watch.disconnect());
    this.grow(artifact.id, relations, 0);
    this.draw();
    this.follow();
  }

  /** Add what a node was made of to its left, and what was made of it to its right. */
  grow(id, { derivedFrom, derivatives }, level) {
    if (level <= 0) this.add(id, derivedFrom, level - 1);
    if (level >= 0) this.add(id, derivatives, level + 1);
  }

  add(id, others, level) {
    const fresh = others.filter((one) => !this.nodes.has(one.id));
    for (const one of fresh.slice(0, MOST)) this.nodes.set(one.id, { ...one, level });
    if (fresh.length > MOST) this.hidden.set(level, { of: id, more: fresh.length - MOST + (this.hidden.get(level)?.more ?? 0) });
    for (const one of others) {
      const node = this.nodes.get(one.id);
      if (!node || node.level !== level) continue;
      const edge = level < 0 ? { from: one.id, to: id } : { from: id, to: one.id };
      this.edges.push({ ...edge, relation: one.relationshipType });
    }
  }

  /** Read the neighbours of the neighbours; the graph is there already, and grows. */
  async follow() {
    for (let depth = 1; depth < DEPTH; depth += 1) {
      const edge = [...this.nodes.values()].filter((node) => Math.abs(node.level) === depth && !node.missing);
      await Promise.all(
        edge.map(async (node) => {
          const found = await ask(artifactPath(node.id, "/relationships"), { signal: this.signal }).catch(() => null);
          if (found) this.grow(node.id, found, node.level);
        }),
      );
    }
    if (!this.signal.aborted) this.draw();
  }

  draw() {
    const levels = [...new Set([...this.nodes.values()].map((node) => node.level))].sort((a, b) => a - b);
    fill(this.columns, ...levels.map((level) => this.column(level)));
    this.drawLines();
  }

  column(level) {
    const nodes = [...this.nodes.values()].filter((node) => node.level === level);
    const hidden = this.hidden.get(level);
    const more = hidden ? h("li", {}, h("a.small", { href: artifactsAddress({ relatedTo: hidden.of }) }, `${count(hidden.more)} more`)) : null;
    return h("li", { "aria-label": words(level) }, h("ul", {}, ...nodes.map((node) => h("li", {}, this.card(node))), more));
  }

  card(node) {
    const isHere = node.level === 0;
    const [end, titles] = node.level < 0 ? ["from", SOURCES] : ["to", DERIVATIVES];
    const relations = this.edges.filter((edge) => edge[end] === node.id).map((edge) => titles[edge.relation] ?? edge.relation);
    const type = TYPES[node.type]?.[1] ?? node.type;
    const role = [...new Set(relations)].join(", ");
    const lines = [
      h("small", {}, isHere ? type : role ? `${type} · ${role}` : type),
      h("b", {}, foreign(node.title || node.id)),
      node.title && node.title !== node.id ? h("small.muted", {}, foreign(node.id)) : null,
      node.missing ? h("small", { data: { tone: "bad" } }, "Not there any more") : null,
    ];
    const data = { id: node.id, type: node.type };
    if (isHere || node.missing) return h("span.node", { data, "aria-current": isHere ? "true" : null, title: plain(node.id) }, ...lines);
    return h("a.node", { href: artifactAddress(node.id), data, title: plain(node.id) }, ...lines);
  }

  /** Draw a curve for each edge between the cards as they lie now. */
  drawLines() {
    const frame = this.element.getBoundingClientRect();
    this.lines.setAttribute("width", String(frame.width));
    this.lines.setAttribute("height", String(frame.height));
    const boxes = new Map([...this.columns.querySelectorAll(".node")].map((card) => [card.dataset.id, card.getBoundingClientRect()]));
    const curves = this.edges.map(({ from, to }) => curve(boxes.get(from), boxes.get(to), frame)).filter(Boolean);
    this.lines.replaceChildren(...curves);
  }
}

function curve(from, to, frame) {
  if (!from || !to) return null;
  const isBeside = to.left >= from.right;
  const [x1, y1] = isBeside ? [from.right, from.top + from.height / 2] : [from.left + from.width / 2, from.bottom];
  const [x2, y2] = isBeside ? [to.left, to.top + to.height / 2] : [to.left + to.width / 2, to.top];
  const [a, b, c, d] = [x1 - frame.left, y1 - frame.top, x2 - frame.left, y2 - frame.top];
  const [e, f] = [(a + c) / 2, (b + d) / 2];
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", isBeside ? `M${a} ${b}C${e} ${b} ${e} ${d} ${c} ${d}` : `M${a} ${b}C${a} ${f} ${c} ${f} ${c} ${d}`);
  return path;
}

function words(level) {
  if (level === 0) return "This artifact";
  const steps = Math.abs(level) === 1 ? "" : `, ${Math.abs(level)} steps away`;
  return level < 0 ? `What it was made of${steps}` : `What was made of it${steps}`;
}
