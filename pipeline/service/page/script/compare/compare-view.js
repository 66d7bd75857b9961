// Two runs side by side: how far they lie apart, series by series.

import { ask, send } from "../api.js";
import { fill, foreign, h, plain } from "../element.js";
import { failure, loading } from "../parts.js";
import { compareAddress, runAddress } from "../route.js";
import { count, counted, instant, width } from "../wording.js";
import { ChartPanel } from "./chart-panel.js";
import { MetricsTable } from "./metrics-table.js";
import { compareOptions, optionsForm } from "./options-form.js";
import { recentComparisons } from "./recent.js";

const DOWNLOADS = { csv: "CSV", ndjson: "NDJSON", parquet: "Parquet", json: "JSON", html: "Report" };
const LOOK_AGAIN = 400;
const MOST_NAMES = 100;
const MOST_DIFFERENCES = 200;

/** @type {(main: HTMLElement, route: import("../route.js").Route, signal: AbortSignal) => void} */
export function compareView(main, route, signal) {
  const { baseline, comparison, query } = route;
  const place = h("div.stack", {}, loading("the comparison"));
  const downloads = h("span.links", {});
  main.append(title(baseline, comparison, downloads), optionsForm(query, () => remember(query, load)), place, recentComparisons([baseline, comparison], signal));
  let session = null;
  let turn = 0;

  async function load() {
    const mine = (turn += 1);
    session = null;
    fill(downloads);
    fill(place, loading("the comparison"));
    const body = { baselineId: baseline, comparisonId: comparison, options: compareOptions(query) };
    try {
      const begun = await send("/v1/compare", body, { headers: { Prefer: "respond-async" }, signal });
      if (mine !== turn) return;
      session = begun.sessionId;
      await settle(begun.status === "Completed" ? await read() : begun, mine);
    } catch (error) {
      if (!signal.aborted && mine === turn) fill(place, failure(error, load));
    }
  }

  /** Show a session, and look again until it is over: events may have passed before it was known. */
  async function settle({ status, progress, result, exports, error }, mine) {
    if (mine !== turn || signal.aborted) return;
    if (status === "Completed") {
      show(result, exports);
    } else if (status === "Failed") {
      fill(place, failure(Object.assign(new Error(error?.error ?? "The comparison was cancelled"), error), load));
    } else {
      fill(place, waiting(status, progress));
      await new Promise((done) => setTimeout(done, LOOK_AGAIN));
      if (mine === turn && !signal.aborted) await settle(await read(), mine);
    }
  }

  const read = () => ask(`/v1/compare/${session}?values=false`, { signal });

  function show(result, exports) {
    fill(downloads, ...exports.map((form) => h("a.button.small", { href: `/v1/compare/${session}/export/${form}`, download: `${plain(baseline)}-${plain(comparison)}.${form}` }, DOWNLOADS[form])));
    const keep = () => remember(query);
    const chart = new ChartPanel(session, result.alignment, query, keep, signal);
    const byId = new Map(result.series.map((one) => [one.seriesId, one]));
    const table = new MetricsTable(result.series, query, { changed: keep, choose: (id) => chart.choose(byId.get(id)) });
    fill(place, summary(result), chart.element, table.element, missing(result), models(result), notes(result), definitions(result));
    const first = byId.get(query.get("series")) ?? table.shown[0];
    if (first) chart.choose(first);
  }

  load();
}

function waiting(status, share) {
  const text = status === "Computing" ? `Comparing: ${Math.round(share * 100)} %` : "Waiting for a worker";
  return h("div.panel", { role: "status" }, h("p", {}, text), h("progress", { max: 1, value: share, "aria-label": "Progress" }));
}

function title(baseline, comparison, downloads) {
  const run = (id, word) => h("span.side", {}, h("small.muted", {}, word), h("a", { href: runAddress(id) }, foreign(id)));
  return h(
    "header.compare-title",
    {},
    h("h1", {}, run(baseline, "Baseline"), run(comparison, "Comparison")),
    h("div.links", {}, h("a.button.small", { href: compareAddress(comparison, baseline) + location.search }, "Swap"), downloads),
  );
}

function summary(result) {
  const { equal, within, different } = result.summary;
  const alone = result.onlyInBaseline.length + result.onlyInComparison.length;
  const tiles = [
    ["different", "bad", different, "different"],
    ["within", "warn", within, "within tolerance"],
    ["equal", "good", equal, "equal"],
    ["alone", "warn", alone, "on one side only"],
  ];
  const { alignment } = result;
  const grid = `${counted(alignment.bins, "bin")} of ${width(alignment.grid.binSize)}, ${instant(alignment.from)} to ${instant(alignment.to)}, aligned by ${alignment.method.replace("_", " ")}`;
  return h(
    "section",
    { "aria-label": "Summary" },
    h("ul.tiles", {}, ...tiles.map(([, tone, number, word]) => h("li", { data: { tone: number ? tone : "" } }, h("b", {}, count(number)), ` ${word}`))),
    h("p.muted.small", {}, grid),
  );
}

function missing(result) {
  const lists = [
    ["Only in the baseline", result.onlyInBaseline],
    ["Only in the comparison", result.onlyInComparison],
  ].filter(([, names]) => names.length);
  if (!lists.length) return null;
  const list = ([word, names]) => {
    const more = names.length - MOST_NAMES;
    return h("div", {}, h("h3", {}, `${word}: ${count(names.length)}`), h("ul.bullets", {}, ...names.slice(0, MOST_NAMES).map((name) => h("li", {}, foreign(name))), more > 0 ? h("li", {}, `and ${count(more)} more`) : null));
  };
  return h("section.panel", { "aria-label": "Series on one side only" }, ...lists.map(list));
}

function models(result) {
  const differences = result.modelDifferences;
  if (!differences.length) return null;
  const head = h("tr", {}, ...["What", "Baseline", "Comparison"].map((word) => h("th", { scope: "col" }, word)));
  const rows = differences.slice(0, MOST_DIFFERENCES).map((one) => h("tr", {}, h("td", {}, foreign(one.path)), h("td", {}, foreign(one.baseline) ?? "–"), h("td", {}, foreign(one.comparison) ?? "–")));
  return h(
    "section.panel",
    { "aria-label": "Models" },
    h("header", {}, h("h2", {}, "Models"), h("p.muted.small", {}, counted(differences.length, "difference"))),
    h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Differences of the models" }, h("table.models", {}, h("thead", {}, head), h("tbody", {}, ...rows))),
  );
}

function notes(result) {
  if (!result.notes.length) return null;
  return h("section.panel", { "aria-label": "Notes" }, h("h2", {}, "Notes"), h("ul.bullets", {}, ...result.notes.map((text) => h("li", {}, foreign(text)))));
}

function definitions(result) {
  const rows = Object.entries(result.definitions).flatMap(([name, text]) => [h("dt", {}, name), h("dd", {}, text)]);
  return h("details.panel", {}, h("summary", {}, "Definitions of the metrics"), h("dl.facts", {}, ...rows));
}

/** Keep the state of the view in the address, so that it can be shared. */
function remember(query, then = () => {}) {
  const text = query.toString();
  history.replaceState(null, "", text ? `${location.pathname}?${text}` : location.pathname);
  then();
}

