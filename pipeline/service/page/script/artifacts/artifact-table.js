// The table of artifacts: compact rows, headers that sort, boxes that select.

import { foreign, h, plain } from "../element.js";
import { badge, sortHeader } from "../parts.js";
import { artifactAddress } from "../route.js";
import { since } from "../times.js";
import { RUN_STATES, size } from "../wording.js";
import { TYPES, marksOf } from "./artifact-words.js";

const COLUMNS = [
  { title: "Artifact", sort: "title", first: "asc" },
  { title: "Type" },
  { title: "Created", sort: "created", first: "desc" },
  { title: "Size", sort: "size", first: "desc", isNumber: true },
  { title: "Tags" },
];
const USUAL = ["created", "desc"];
const MOST_TAGS = 4;

export class ArtifactTable {
  /**
   * @param {URLSearchParams} query
   * @param {(changes: Record<string, string>) => void} change
   * @param {import("../selection.js").Selection} selection
   */
  constructor(query, change, selection) {
    this.query = query;
    this.change = change;
    this.selection = selection;
  }

  /** Make the table of a page of artifacts. */
  draw(artifacts) {
    this.selection.know(artifacts);
    const all = this.selection.boxOfAll(artifacts.map((one) => one.id));
    const head = h("tr", {}, h("th.pick", { scope: "col" }, all), ...COLUMNS.map((column) => this.header(column)));
    return h("div.scroll", {}, h("table.runs.artifacts", {}, h("thead", {}, head), h("tbody", {}, ...artifacts.map((one) => this.row(one)))));
  }

  header({ title, sort, first, isNumber }) {
    if (!sort) return h("th", { scope: "col" }, title);
    const [by, order] = [this.query.get("sortBy") || USUAL[0], this.query.get("sortOrder") || USUAL[1]];
    const isHere = by === sort;
    const next = isHere ? (order === "desc" ? "asc" : "desc") : first;
    const isUsual = sort === USUAL[0] && next === USUAL[1];
    const direction = !isHere ? "none" : order === "desc" ? "descending" : "ascending";
    const changes = isUsual ? { sortBy: "", sortOrder: "" } : { sortBy: sort, sortOrder: next };
    return sortHeader(title, direction, () => this.change(changes), { isNumber });
  }

  row(one) {
    return h(
      "tr",
      {},
      h("td.pick", {}, this.selection.box(one.id)),
      name(one),
      h("td", {}, badge(TYPES[one.type])),
      h("td.when", {}, since(one.created)),
      h("td.number", {}, one.totalSize ? size(one.totalSize) : null),
      h("td.tags", {}, ...tags(one)),
    );
  }
}

function name(one) {
  const marks = [...marksOf(one), ...(one.state === "complete" ? [] : [RUN_STATES[one.state]])];
  return h(
    "td.name",
    {},
    h("a", { href: artifactAddress(one.id), title: plain(one.location) }, foreign(one.title || one.id)),
    h("small", {}, foreign(one.id)),
    ...marks.flatMap((mark) => [" ", badge(mark)]),
    one.reason ? h("small", { data: { tone: "bad" }, title: plain(one.reason) }, foreign(one.reason)) : null,
  );
}

/** The tags that say something: those of every artifact of the type are left out. */
function tags(one) {
  const telling = one.tags.filter((tag) => ![one.type, "csv", "json", "configured", "archived"].includes(tag));
  const shown = telling.slice(0, MOST_TAGS).map((tag) => h("span.badge", { title: plain(tag) }, foreign(tag)));
  const more = telling.length - shown.length;
  return more > 0 ? [...shown, h("small.muted", { title: plain(telling.join(", ")) }, `+${more}`)] : shown;
}
