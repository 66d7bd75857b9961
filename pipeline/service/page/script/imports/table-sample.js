// The first rows of a table, read in the browser from the beginning of a file.

const BYTES = 256 * 1024;
const ROWS = 6;

/**
 * Return the columns and the first rows of a CSV or NDJSON file, plain or gzip.
 *
 * @param {File} file
 * @returns {Promise<{columns: string[], rows: string[][]} | null>} Null where the browser cannot
 *   read the format: Parquet, zstd.
 */
export async function tableSample(file) {
  const name = file.name.toLowerCase().replace(/\.gz$/, "");
  const isLines = /\.(ndjson|jsonl)$/.test(name);
  if (!isLines && !/\.(csv|tsv|txt)$/.test(name)) return null;
  const text = await beginning(file);
  return isLines ? ofLines(text) : ofCsv(text);
}

async function beginning(file) {
  if (!file.name.toLowerCase().endsWith(".gz")) return file.slice(0, BYTES).text();
  const reader = file.stream().pipeThrough(new DecompressionStream("gzip")).getReader();
  const parts = [];
  for (let size = 0; size < BYTES; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
  }
  reader.cancel().catch(() => null);
  return new Blob(parts).text();
}

function ofLines(text) {
  const objects = [];
  for (const line of text.split("\n").slice(0, ROWS)) {
    try {
      objects.push(JSON.parse(line));
    } catch {
      break;
    }
  }
  const columns = [...new Set(objects.flatMap((one) => Object.keys(one ?? {})))];
  return { columns, rows: objects.map((one) => columns.map((column) => shown(one?.[column]))) };
}

function ofCsv(text) {
  const body = text.replace(/^\uFEFF/, "").replace(/^(#.*\r?\n)+/, "");
  const head = body.slice(0, body.search(/\r?\n/) + 1 || undefined);
  const separator = [",", ";", "\t", "|"].sort((one, other) => head.split(other).length - head.split(one).length)[0];
  const [columns = [], ...rows] = records(body, separator);
  return { columns, rows: rows.slice(0, ROWS) };
}

/** Records of CSV as RFC 4180 has them. */
function records(text, separator) {
  const found = [];
  let row = [];
  let cell = "";
  let isQuoted = false;
  for (let at = 0; at < text.length && found.length <= ROWS; at += 1) {
    const sign = text[at];
    if (isQuoted) {
      if (sign !== '"') cell += sign;
      else if (text[at + 1] === '"') {
        cell += '"';
        at += 1;
      } else isQuoted = false;
    } else if (sign === '"') isQuoted = true;
    else if (sign === separator) {
      row.push(cell);
      cell = "";
    } else if (sign === "\n") {
      found.push([...row, cell.replace(/\r$/, "")]);
      row = [];
      cell = "";
    } else cell += sign;
  }
  if (cell || row.length) found.push([...row, cell]);
  return found;
}

const shown = (value) => (value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value));
