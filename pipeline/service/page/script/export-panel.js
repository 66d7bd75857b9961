// Exporting one run: formats, one button, progress, and the files that are there.

import { ask, runPath } from "./api.js";
import { fill, h } from "./element.js";
import { cancelJob, exportRun } from "./exporting.js";
import { live } from "./live.js";
import { failure } from "./parts.js";
import { FORMATS, count, instant, progress, size } from "./wording.js";

/** @type {(run: object, signal: AbortSignal) => HTMLElement} */
export function exportPanel(run, signal) {
  const button = h("button.button.primary.wide", { type: "submit" }, "Export");
  const state = h("div.stack", { role: "status" });
  const files = h("ul.files", { "aria-label": "Files of this run's exports" });
  const filter = h("input", { type: "text", spellcheck: false, placeholder: "measure = 'served' AND value > 0" });
  const boxes = Object.entries(FORMATS).map(([key, format]) => choice(key, format));
  const form = h(
    "form.export",
    { onsubmit: begin },
    h("fieldset", {}, h("legend.sr", {}, "Formats"), ...boxes),
    h("details", {}, h("summary", {}, "Options"), h("label.field", {}, h("span", {}, "Only rows where (SQL)"), filter)),
    button,
    state,
  );
  let current = null;

  async function begin(event) {
    event.preventDefault();
    const formats = new FormData(form).getAll("format");
    button.disabled = true;
    try {
      const condition = filter.value.trim();
      current = await exportRun(run.id, condition ? { formats, filter: condition } : { formats });
      follow(await ask(`/v1/jobs/${current}`));
    } catch (error) {
      fill(state, failure(error));
      ready();
    }
  }

  function follow(job) {
    if (job.id !== current) return;
    if (job.state === "queued" || job.state === "running") {
      fill(state, bar(job));
      return;
    }
    current = null;
    fill(state, job.state === "failed" ? failure({ message: job.error?.error ?? "The export failed" }) : null);
    ready();
    showFiles(run, files, signal);
  }

  function ready() {
    button.disabled = !boxes.some((box) => box.querySelector("input").checked);
  }

  form.addEventListener("change", () => current === null && ready());
  live.addEventListener("job", (event) => follow(event.detail), { signal });
  live.addEventListener("job", ({ detail: job }) => job.request.run === run.id && job.state === "done" && showFiles(run, files, signal), { signal });
  list(files, run.exports);
  return h("section.panel.exporting", {}, h("header", {}, h("h2", {}, "Export this run")), form, files);
}

function choice(key, { title, use }) {
  const box = h("input", { type: "checkbox", name: "format", value: key, checked: true });
  return h("label.choice", {}, box, h("b", {}, title), h("small", {}, use));
}

function bar(job) {
  const { told, share } = progress(job);
  const stop = h("button.button.small", { type: "button", onclick: () => cancelJob(job.id).catch(() => null) }, "Cancel");
  return h(
    "div.stack",
    {},
    h("progress", { "aria-label": "Progress of the export", max: 1, ...(share === null ? {} : { value: share }) }),
    h("div.title-line", {}, h("span.muted", {}, told), h("span.push", {}, stop)),
  );
}

async function showFiles(run, files, signal) {
  const now = await ask(runPath(run.id), { signal }).catch(() => null);
  if (now) list(files, now.exports ?? []);
}

function list(files, exports) {
  const plain = exports.filter((file) => !file.variant);
  const others = exports.filter((file) => file.variant);
  fill(files, ...[...plain, ...others].map(entry));
}

function entry(file) {
  const rows = file.rows === null ? "" : `${count(file.rows)} rows, `;
  const name = `${FORMATS[file.format].title}${file.variant ? " (with options)" : ""}`;
  return h(
    "li",
    {},
    h("span", {}, name),
    h("small", {}, `${rows}${size(file.bytes)}, ${instant(file.exportedUtc)}`),
    h("a.button.small", { href: file.url, download: "", "aria-label": `Download ${name}` }, "Download"),
  );
}
