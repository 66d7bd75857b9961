// One artifact: what it was made of and what was made of it, its files, and what people say of it.

import { artifactPath, ask } from "../api.js";
import { fill, foreign, h, plain } from "../element.js";
import { exportAndReport } from "../exporting.js";
import { action, badge, empty, failure, loading, sentence } from "../parts.js";
import { artifactAddress, artifactsAddress, compareAddress, runAddress } from "../route.js";
import { since } from "../times.js";
import { RUN_STATES, count, counted, instant, isDigest, shortened, size } from "../wording.js";
import { LIKENESSES, TYPES, isComparable, isExportable, marksOf } from "./artifact-words.js";
import { fileList } from "./file-list.js";
import { Lineage } from "./lineage.js";
import { userDataForm } from "./user-data-form.js";

const MOST_RELATED = 10;

/** @type {(main: HTMLElement, route: import("../route.js").Route, signal: AbortSignal) => void} */
export function artifactView(main, route, signal) {
  const place = h("div.stack", {}, loading("the artifact"));
  main.append(h("p.small", {}, h("a", { href: "#/artifacts" }, "All artifacts")), place);

  async function load() {
    try {
      const [artifact, relations] = await Promise.all([
        ask(artifactPath(route.id), { signal }),
        ask(artifactPath(route.id, "/relationships"), { signal }),
      ]);
      fill(place, ...shown(artifact, relations));
    } catch (error) {
      if (!signal.aborted) fill(place, failure(error, load));
    }
  }

  function shown(artifact, relations) {
    const heading = h("header", {}, ...title(artifact));
    const form = userDataForm(artifact, (changed) => fill(heading, ...title(changed)));
    return [
      heading,
      fault(artifact),
      lineage(artifact, relations, signal),
      h(
        "div.columns",
        {},
        h("div.stack", {}, fileList(artifact, signal), related(artifact, relations)),
        h("div.stack", {}, form, facts(artifact)),
      ),
    ];
  }

  load();
}

function title(artifact) {
  const marks = marksOf(artifact).map((mark) => badge(mark));
  return [
    h("div.title-line", {}, h("h1", {}, foreign(artifact.title || artifact.id)), badge(TYPES[artifact.type]), ...marks, h("span.push.links", {}, ...actions(artifact))),
    h("p.lead", {}, foreign(artifact.id), artifact.created ? " · created " : null, since(artifact.created), artifact.description ? " · " : null, foreign(artifact.description)),
  ];
}

function actions(artifact) {
  const parts = [];
  if (isExportable(artifact)) {
    parts.push(h("a.button.small", { href: runAddress(artifact.id) }, "Open the run"));
    parts.push(action("Export in all formats", () => exportAndReport(artifact.id), { kind: "small.primary" }));
  }
  const sides = ["baselineRunId", "comparisonRunId"].map((key) => artifact.metadata[key]);
  if (artifact.type === "comparison" && sides.every(Boolean)) parts.push(h("a.button.small.primary", { href: compareAddress(...sides) }, "Open the comparison"));
  if (artifact.state === "complete" && artifact.files.length) parts.push(h("a.button.small", { href: artifactPath(artifact.id, "/download"), download: "" }, "Download"));
  return parts;
}

function fault(artifact) {
  if (artifact.state === "complete") return null;
  const [, word] = RUN_STATES[artifact.state];
  return h("div.notice", { data: { tone: artifact.state === "incomplete" ? "warn" : "bad" }, role: "status" }, h("b", {}, `${word}: it cannot be used`), h("span", {}, foreign(sentence(artifact.reason ?? ""))));
}

function lineage(artifact, relations, signal) {
  const graph = new Lineage(artifact, relations, signal);
  return h(
    "section.panel",
    { "aria-label": "Lineage" },
    h("header", {}, h("h2", {}, "Lineage"), h("a.small", { href: artifactsAddress({ relatedTo: artifact.id }) }, "All that is related")),
    graph.element,
  );
}

function related(artifact, { related: others }) {
  if (!others.length) return null;
  const item = (one) => {
    const compared = isComparable(artifact) ? h("a.small", { href: compareAddress(one.id, artifact.id), "aria-label": `Compare with ${plain(one.title)}` }, "Compare") : null;
    return h("li", {}, h("a", { href: artifactAddress(one.id) }, foreign(one.title || one.id)), h("small.muted", {}, foreign(one.id)), h("small.muted", {}, LIKENESSES[one.relationshipType] ?? one.relationshipType), compared);
  };
  const more = others.length - MOST_RELATED;
  return h(
    "section.panel",
    { "aria-label": "Runs of the same kind" },
    h("header", {}, h("h2", {}, "Runs of the same scenario or model"), h("p.muted.small", {}, counted(others.length, "run"))),
    h("ul.related", {}, ...others.slice(0, MOST_RELATED).map(item)),
    more > 0 ? h("p.small", {}, h("a", { href: artifactsAddress({ relatedTo: artifact.id }) }, `${count(more)} more`)) : null,
  );
}

function facts(artifact) {
  const known = {
    Id: artifact.id,
    Type: TYPES[artifact.type][1],
    Created: instant(artifact.created),
    "Last changed": instant(artifact.lastModified),
    Size: artifact.totalSize ? size(artifact.totalSize) : null,
    Source: artifact.source,
    Location: artifact.location,
    Digest: artifact.digest,
    ...Object.fromEntries(Object.entries(artifact.metadata).map(([key, value]) => [worded(key), value])),
  };
  const pairs = Object.entries(known).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const rows = pairs.flatMap(([key, value]) => [h("dt", {}, foreign(key)), fact(text(value))]);
  return h("section.panel", { "aria-label": "Metadata" }, h("header", {}, h("h2", {}, "Metadata")), rows.length ? h("dl.facts", {}, ...rows) : empty("None"));
}

const fact = (value) => h(isDigest(value) ? "dd.mono" : "dd", { title: plain(value) }, foreign(isDigest(value) ? shortened(value) : value));
const text = (value) => (Array.isArray(value) ? value.join(", ") : typeof value === "object" ? JSON.stringify(value) : String(value));

/** Return a camelCase name in words: `engineVersion` is `Engine version`. */
const worded = (name) => sentence(name.replace(/([a-z])([A-Z])/g, (_, before, after) => `${before} ${after.toLowerCase()}`) + " ").trim();
