// Numbers, sizes, times and states as people read them.

const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const VALUE = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 });
const UNITS = ["B", "kB", "MB", "GB", "TB"];

/** What each format is for. */
export const FORMATS = {
  csv: { title: "CSV", use: "For Excel and other spreadsheets. A header of comment lines says what the rows are." },
  ndjson: { title: "NDJSON", use: "For APIs and log tools: one JSON object a line." },
  parquet: { title: "Parquet", use: "For analytics: typed, small, read by DuckDB, pandas and Spark." },
};

/** Tone and word of each state of a run. */
export const RUN_STATES = {
  complete: ["good", "Complete"],
  incomplete: ["busy", "Being written"],
  broken: ["bad", "Broken"],
  link: ["warn", "Link"],
  unlisted: ["warn", "Not readable"],
};

/** Tone and word of each state of a job. */
export const JOB_STATES = {
  queued: ["busy", "Waiting"],
  running: ["busy", "Running"],
  done: ["good", "Done"],
  failed: ["bad", "Failed"],
  cancelled: ["warn", "Cancelled"],
};

const PHASES = {
  waiting: "Waiting for a worker",
  discovering: "Looking at the run",
  reading: "Reading series",
  checking: "Checking the files",
  publishing: "Publishing",
  over: "Over",
};

/** @param {number | null | undefined} value */
export const count = (value) => (value === null || value === undefined ? "" : NUMBER.format(value));

/** @param {number | null} value */
export const measured = (value) => (value === null ? "–" : VALUE.format(value));

/** `1 series`, `3 series`; `1 row`, `3 rows`. */
export const counted = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

/** Bytes for people, in powers of a thousand. */
export function size(bytes) {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return unit === 0 ? `${bytes} B` : `${value.toFixed(1)} ${UNITS[unit]}`;
}

/** An instant in UTC, as exports write it, to the minute. */
export function instant(text) {
  return text ? `${new Date(text).toISOString().slice(0, 16).replace("T", " ")} UTC` : "";
}

/** Minutes of a bin as a width. */
export function width(minutes) {
  if (minutes % 1440 === 0) return counted(minutes / 1440, "day");
  if (minutes % 60 === 0) return counted(minutes / 60, "hour");
  return `${count(minutes)} min`;
}

/** How long something took. */
export function duration(from, to) {
  if (!from || !to) return "";
  const seconds = (new Date(to) - new Date(from)) / 1000;
  if (seconds < 0.1) return "under 0.1 s";
  return seconds < 10 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds)} s`;
}

/** How far a job is, as a word and a share of 1; the share is null where it is not known. */
export function progress(job) {
  const { phase, rows, rowsTotal } = job.progress;
  const share = rowsTotal > 0 ? Math.min(1, rows / rowsTotal) : null;
  if (phase === "waiting" && job.request.when === "complete") return { told: "Waiting for the run", share };
  const told = phase === "reading" && share !== null ? `${PHASES.reading}: ${Math.round(share * 100)} %` : PHASES[phase];
  return { told, share };
}
