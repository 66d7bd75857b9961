// The files of an artifact, each to download, and the beginning of those that hold text.

import { ApiError, artifactPath, ask } from "../api.js";
import { fill, foreign, h, plain } from "../element.js";
import { action, empty, failure, loading } from "../parts.js";
import { count, counted, size } from "../wording.js";

const AT_FIRST = 12;
const MOST_BYTES = 16_384;
const MOST_LINES = 60;
const TEXTS = /\.(csv|ndjson|json|yaml|yml|txt|md|log)$/i;

/** Make the panel of the files of an artifact. */
export function fileList(artifact, signal) {
  const body = h("div", {}, loading("the files"));
  const total = h("p.muted.small", { role: "status" });
  const preview = h("div", { role: "region", "aria-label": "Beginning of the file", "aria-live": "polite" });
  let turn = 0;

  async function load() {
    try {
      const { files } = await ask(artifactPath(artifact.id, "/files"), { signal });
      fill(total, `${counted(files.length, "file")}, ${size(files.reduce((sum, file) => sum + file.size, 0))}`);
      draw(files, AT_FIRST);
    } catch (error) {
      if (!signal.aborted) fill(body, error instanceof ApiError && error.status === 404 ? elsewhere(error) : failure(error, load));
    }
  }

  function draw(files, most) {
    if (!files.length) {
      fill(body, empty("It has no files of its own"));
      return;
    }
    const rest = files.length - most;
    const more = rest > 0 ? action(`${count(rest)} more`, () => draw(files, files.length), { kind: "small.plain" }) : null;
    fill(body, h("ul.files", {}, ...files.slice(0, most).map(item)), more);
  }

  function item(file) {
    const address = artifactPath(artifact.id, `/files/${file.name.split("/").map(encodeURIComponent).join("/")}`);
    const shown = TEXTS.test(file.name) && file.size > 0;
    return h(
      "li",
      {},
      h("a", { href: address, download: plain(file.name.split("/").at(-1)) }, foreign(file.name)),
      h("small.muted", {}, size(file.size)),
      shown ? action("Preview", () => show(file, address), { kind: "small.plain", label: `Preview ${plain(file.name)}` }) : null,
    );
  }

  async function show(file, address) {
    const mine = (turn += 1);
    fill(preview, loading(plain(file.name)));
    try {
      const response = await fetch(address, { headers: { Range: `bytes=0-${MOST_BYTES - 1}` }, signal });
      if (!response.ok) throw new ApiError(response.status, await response.json().catch(() => ({})));
      const text = await response.text();
      if (mine === turn) fill(preview, h("h3", {}, foreign(file.name)), h("pre.file", { tabindex: "0" }, beginning(text, file.size)));
    } catch (error) {
      if (!signal.aborted && mine === turn) fill(preview, failure(error));
    }
  }

  load();
  return h("section.panel", { "aria-label": "Files" }, h("header", {}, h("h2", {}, "Files"), total), body, preview);
}

/** Return the first lines of a text of which the beginning was read. */
function beginning(text, bytes) {
  const lines = text.split("\n");
  const isWhole = bytes <= MOST_BYTES && lines.length <= MOST_LINES;
  return isWhole ? text : `${lines.slice(0, MOST_LINES).join("\n").trimEnd()}\n…`;
}

const elsewhere = (error) => h("p.muted", {}, foreign(error.message));
