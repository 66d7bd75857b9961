// The options of an import: the fields of the form, and their names in messages of the service.

import { h } from "../element.js";

const EXISTING = { error: "Stop", skip: "Keep it", replace: "Replace it" };
const TIMES = { "": "Text such as 2025-01-31T08:00:00Z", s: "Seconds since 1970", ms: "Milliseconds since 1970", us: "Microseconds since 1970", bin: "Numbers of bins from 0" };
const SEPARATORS = { "": "Found in the header", ",": "Comma", ";": "Semicolon", "\t": "Tab", "|": "Bar" };
const GAPS = { "": "Stop", nan: "Fill with NaN" };
const DUPLICATES = { "": "Stop", last: "Take the last row" };

/** What the form calls each option of the API. */
export const LABELS = {
  if_exists: "If the run is there already",
  run_id: "Id of a telemetry run",
  bin_size: "Width of a bin",
  time_origin: "Start of the first bin",
  time_unit: "Times are",
  time_zone: "Time zone of times without one",
  restamp: "Times only number the bins",
  class_name: "Class of rows without one",
  separator: "Separator of CSV",
  gaps: "Bins without a row",
  duplicates: "Bins with two rows",
  partial: "Accept exports with some of the series",
  values_only: "Accept equal values in other bytes",
  as_telemetry: "Treat an export as a plain table",
  columns: "Columns of the table",
};

/** Make the fields. */
export function importOptions() {
  const text = (name, placeholder) => field(name, h("input", { type: "text", name: camel(name), placeholder }));
  const select = (name, titles) =>
    field(name, h("select", { name: camel(name) }, ...Object.entries(titles).map(([value, title]) => h("option", { value }, title))));
  const check = (name) => h("label.check", {}, h("input", { type: "checkbox", name: camel(name), value: "true" }), LABELS[name]);
  return h(
    "details",
    {},
    h("summary", {}, "Options"),
    h("h3", {}, "Any file"),
    h("div.pair", {}, select("if_exists", EXISTING)),
    h("h3", {}, "Exports of this project"),
    h("div.pair", {}, check("partial"), check("values_only"), check("as_telemetry")),
    h("h3", {}, "Other tables"),
    h(
      "div.pair",
      {},
      text("run_id", "made from the file"),
      text("bin_size", "found from the times, or 5m, 1h"),
      text("time_origin", "the earliest time, or 2025-01-01"),
      select("time_unit", TIMES),
      text("time_zone", "UTC"),
      text("class_name", "DEFAULT"),
      select("separator", SEPARATORS),
      select("gaps", GAPS),
      select("duplicates", DUPLICATES),
      check("restamp"),
    ),
  );
}

/** Replace the names of options in a message by the labels of their fields. */
export function labelled(message) {
  const name = /(?<![\w"'])(?:--)?([a-z]+(?:[_-][a-z]+)+|[a-z]+[A-Z]\w*|gaps|duplicates|restamp|partial|separator|columns)(?![\w"'])/g;
  return message.replace(name, (word, option) => {
    const key = option.replace(/-/g, "_").replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    const isOption = key in LABELS && (word !== key || key.includes("_"));
    return isOption ? `“${LABELS[key]}”` : word;
  });
}

const field = (name, input) => h("label.field", {}, h("span", {}, LABELS[name]), input);
const camel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
