// Numbers, sizes, times and states as people read them.

const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const VALUE = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 });
const EXACT = new Intl.NumberFormat("en", { maximumSignificantDigits: 17 });
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "short" });
const UNITS = ["B", "kB", "MB", "GB", "TB"];
const STEPS = [
  [60, "second"],
  [60, "minute"],
  [24, "hour"],
  [30.44, "day"],
  [12, "month"],
  [Infinity, "year"],
];

/** What each format is for. */
export const FORMATS = {
  csv: { title: "CSV", use: "For spreadsheets and scripts. Comment lines at the top describe the rows." },
  ndjson: { title: "NDJSON", use: "For APIs and log tools: one JSON object per line." },
  parquet: { title: "Parquet", use: "For analytics: typed and small, read by DuckDB, pandas and Spark." },
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
  discovering: "Finding the run",
  reading: "Reading series",
  checking: "Checking the files",
  publishing: "Publishing",
  over: "Finished",
};

/** @param {number | null | undefined} value */
export const count = (value) => (value === null || value === undefined ? "" : NUMBER.format(value));

/** @param {number | null | undefined} value */
export const measured = (value) => (value === null || value === undefined ? "–" : VALUE.format(value));

/** Return a value with all the digits that it has. */
export const exactly = (value) => (value === null || value === undefined ? "–" : EXACT.format(value));

/** Return `1 series`, `3 series`; `1 row`, `3 rows`. */
export const counted = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

/** Return bytes in powers of a thousand. */
export function size(bytes) {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return unit === 0 ? `${bytes} B` : `${value.toFixed(1)} ${UNITS[unit]}`;
}

/** Return an instant in UTC, as exports write it, to the minute. */
export function instant(text) {
  return text ? `${new Date(text).toISOString().slice(0, 16).replace("T", " ")} UTC` : "";
}

/** Return how long ago an instant is, or how far ahead: `3 hr. ago`. */
export function relative(text, now = Date.now()) {
  if (!text) return "";
  let value = (new Date(text) - now) / 1000;
  if (Math.abs(value) < 10) return "just now";
  for (const [most, unit] of STEPS) {
    if (Math.abs(value) < most) return RELATIVE.format(Math.round(value), unit);
    value /= most;
  }
  return "";
}

/** Return a duration in seconds as `12 s`, `3 min`, `2 h`. */
export function span(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}

/** Whether a value is a digest, which is shown shortened. */
export const isDigest = (value) => String(value).startsWith("sha256:");

/** Return the beginning of a digest, without its algorithm. */
export const shortened = (digest) => `${digest.slice("sha256:".length, 19)}…`;

/** Return the width of a bin in words. */
export function width(minutes) {
  if (minutes % 1440 === 0) return counted(minutes / 1440, "day");
  if (minutes % 60 === 0) return counted(minutes / 60, "hour");
  return `${count(minutes)} min`;
}

/** Return how long something took. */
export function duration(from, to) {
  if (!from || !to) return "";
  const seconds = (new Date(to) - new Date(from)) / 1000;
  if (seconds < 0.1) return "under 0.1 s";
  return seconds < 10 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds)} s`;
}

/** Return the progress of a job as a word, and as a share of 1 or null where it is not known. */
export function progress(job) {
  const { phase, rows, rowsTotal } = job.progress;
  const share = rowsTotal > 0 ? Math.min(1, rows / rowsTotal) : null;
  if (phase === "waiting" && job.request.when === "complete") return { text: "Waiting for the run", share };
  const text = phase === "reading" && share !== null ? `${PHASES.reading}: ${Math.round(share * 100)} %` : PHASES[phase];
  return { text, share };
}
