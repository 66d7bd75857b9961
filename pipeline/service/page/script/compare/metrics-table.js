// The metrics of each pair of series: a table that sorts, filters, and shows only differences.

import { fill, foreign, h, plain } from "../element.js";
import { action, badge, empty, sortHeader } from "../parts.js";
import { count, counted, measured } from "../wording.js";

const AT_ONCE = 200;
const SMALL = 1e-4;
const KEY = "flowtime-only-differences";
const SEVERITY = { equal: 0, within: 1, different: 2 };

/** Tone and word of each status of a series. */
export const STATUSES = { equal: ["good", "Equal"], within: ["warn", "Within"], different: ["bad", "Different"] };

const oneSided = (one) => one.nanBaselineOnly + one.nanComparisonOnly;

const COLUMNS = {
  seriesId: { title: "Series", value: (one) => one.seriesId, isText: true },
  status: { title: "Status", value: (one) => SEVERITY[one.status] },
  out: { title: "Out", about: "Bins out of tolerance, or with NaN on one side", value: (one) => one.outOfTolerance + oneSided(one), isNumber: true },
  maxAbs: { title: "Max |d|", about: "Largest difference", value: (one) => one.maxAbs, isNumber: true },
  mae: { title: "MAE", about: "Mean absolute difference", value: (one) => one.mae, isNumber: true },
  rmse: { title: "RMSE", about: "Root of the mean squared difference", value: (one) => one.rmse, isNumber: true },
  smape: { title: "sMAPE", about: "Symmetric mean of the relative difference, 0 to 2", value: (one) => one.smape, isNumber: true },
  percentChange: { title: "Change", about: "Of the totals, in percent", value: (one) => one.percentChange, isNumber: true },
  correlation: { title: "Corr.", about: "Pearson's correlation", value: (one) => one.correlation, isNumber: true },
};

export class MetricsTable {
  /**
   * @param {object[]} series As the result has them.
   * @param {URLSearchParams} query `sort`, `find` and `only` are kept in it.
   * @param {{changed: () => void, choose: (id: string) => void}} listener
   */
  constructor(series, query, { changed, choose }) {
    this.series = series;
    this.query = query;
    this.changed = changed;
    this.choose = choose;
    this.most = AT_ONCE;
    this.body = h("div", {});
    this.status = h("p.muted.small", { role: "status" });
    if (!query.has("only") && remembered()) query.set("only", "differences");
    this.element = h("section.panel", { "aria-label": "Metrics" }, h("header", {}, h("h2", {}, "Series"), this.status), this.controls(), this.body);
    this.draw();
  }

  /** The series that are shown, in their order. */
  get shown() {
    const words = (this.query.get("find") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    const isOnly = this.query.get("only") === "differences";
    const kept = this.series.filter((one) => (!isOnly || one.status !== "equal") && words.every((word) => one.seriesId.toLowerCase().includes(word)));
    return this.sorted(kept);
  }

  sorted(series) {
    const [name, isDown] = this.order;
    if (!name) return [...series].sort((a, b) => badness(b) - badness(a) || number(b.smape) - number(a.smape) || number(b.maxAbs) - number(a.maxAbs));
    const { value, isText } = COLUMNS[name];
    const compare = isText ? (a, b) => value(a).localeCompare(value(b)) : (a, b) => number(value(a)) - number(value(b));
    return [...series].sort((a, b) => (isDown ? compare(b, a) : compare(a, b)));
  }

  get order() {
    const text = this.query.get("sort") ?? "";
    const name = text.replace(/^-/, "");
    return name in COLUMNS ? [name, text.startsWith("-")] : ["", false];
  }

  controls() {
    const find = h("input", { type: "search", value: this.query.get("find") ?? "", placeholder: "Find series", "aria-label": "Find series", oninput: () => this.set("find", find.value.trim()) });
    const only = h("input", { type: "checkbox", checked: this.query.get("only") === "differences", onchange: () => this.setOnly(only.checked) });
    return h("div.compare-filters", {}, find, h("label.check", {}, only, h("span", {}, "Only differences")));
  }

  setOnly(isOn) {
    remember(isOn);
    this.set("only", isOn ? "differences" : "all");
  }

  set(key, value) {
    if (value) this.query.set(key, value);
    else this.query.delete(key);
    this.most = AT_ONCE;
    this.changed();
    this.draw();
  }

  draw() {
    const shown = this.shown;
    fill(this.status, `${count(shown.length)} of ${counted(this.series.length, "series", "series")}`);
    if (!shown.length) {
      fill(this.body, this.series.length ? empty("No series to show", "Show all series, or find other words.") : empty("No series in common"));
      return;
    }
    const rows = shown.slice(0, this.most).map((one) => this.row(one));
    const head = h("tr", {}, ...Object.keys(COLUMNS).map((name) => this.header(name)));
    const more = shown.length - rows.length;
    const button = more > 0 ? action(`Show ${count(Math.min(more, AT_ONCE))} more`, () => this.showMore()) : null;
    fill(this.body, h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Metrics of each series" }, h("table.metrics", {}, h("thead", {}, head), h("tbody", {}, ...rows))), button);
  }

  showMore() {
    this.most += AT_ONCE;
    this.draw();
  }

  header(name) {
    const { title, about, isNumber } = COLUMNS[name];
    const [now, isDown] = this.order;
    const isHere = now === name;
    const next = isHere ? (isDown ? name : "") : isNumber || name === "status" ? `-${name}` : name;
    const direction = !isHere ? "none" : isDown ? "descending" : "ascending";
    return sortHeader(title, direction, () => this.set("sort", next), { isNumber, about });
  }

  row(one) {
    const isChosen = this.query.get("series") === one.seriesId;
    const choose = h("button.link", { type: "button", "aria-pressed": String(isChosen), title: plain(one.unit ? `${one.seriesId} (${one.unit})` : one.seriesId), onclick: () => this.pick(one.seriesId) }, foreign(one.seriesId));
    const cells = ["maxAbs", "mae", "rmse", "smape"].map((name) => h("td.number", {}, shown(one[name])));
    const change = one.percentChange === null ? "–" : `${one.percentChange > 0 ? "+" : ""}${shown(one.percentChange)} %`;
    return h(
      "tr",
      { data: isChosen ? { chosen: "" } : {} },
      h("td.name", {}, choose),
      h("td", {}, badge(STATUSES[one.status])),
      h("td.number", {}, count(COLUMNS.out.value(one))),
      ...cells,
      h("td.number", {}, change),
      h("td.number", {}, shown(one.correlation)),
    );
  }

  pick(id) {
    this.query.set("series", id);
    this.changed();
    this.draw();
    this.choose(id);
  }
}

const badness = (one) => SEVERITY[one.status] * 1e15 + COLUMNS.out.value(one);

/** A metric as a number to sort by; infinities are texts in JSON, and null comes last. */
function number(value) {
  if (value === null || value === undefined) return -Infinity;
  return { inf: Infinity, "-inf": -Infinity, NaN: -Infinity }[value] ?? value;
}

function shown(value) {
  if (typeof value === "string") return value.replace("inf", "∞");
  return value && Math.abs(value) < SMALL ? value.toExponential(3) : measured(value);
}

function remembered() {
  try {
    return localStorage.getItem(KEY) === "true";
  } catch {
    return false;
  }
}

function remember(isOn) {
  try {
    localStorage.setItem(KEY, String(isOn));
  } catch {
    // The choice then lasts as long as the page.
  }
}
