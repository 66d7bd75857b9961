// Chosen artifacts: exported, tagged, archived and compared together.

import { artifactPath, send } from "../api.js";
import { h } from "../element.js";
import { exportRuns } from "../exporting.js";
import { notify } from "../notifications.js";
import { action, sentence } from "../parts.js";
import { Selection } from "../selection.js";
import { counted } from "../wording.js";
import { isComparable, isExportable, tagsOf } from "./artifact-words.js";

const AT_ONCE = 500;

export class ArtifactSelection extends Selection {
  /** @param {() => void} changed Called when artifacts were changed. */
  constructor(changed) {
    super("artifact");
    this.changed = changed;
    this.known = new Map();
    this.isNaming = false;
  }

  /** Take note of artifacts that can be chosen. */
  know(artifacts) {
    for (const one of artifacts) this.known.set(one.id, one);
  }

  get chosen() {
    return [...this.ids].map((id) => this.known.get(id)).filter(Boolean);
  }

  actions() {
    if (!this.ids.size) this.isNaming = false;
    const runs = this.chosen.filter(isExportable);
    const areArchived = this.chosen.length > 0 && this.chosen.every((one) => one.archived);
    return [
      runs.length ? action(`Export ${counted(runs.length, "run")}`, () => this.export(runs), { kind: "small.primary" }) : null,
      this.isNaming ? this.tagForm() : action("Tag", () => this.name(true)),
      action(areArchived ? "Restore from the archive" : "Archive", () => this.archive(!areArchived)),
      this.comparison(),
    ];
  }

  comparison() {
    const pair = this.chosen;
    if (pair.length !== 2 || !pair.every(isComparable)) return h("span.muted.small", {}, "Select two runs or exports to compare them");
    return this.compareLink(pair.map((one) => one.id));
  }

  export(runs) {
    exportRuns(runs.map((one) => one.id));
    this.clear();
  }

  name(isNaming) {
    this.isNaming = isNaming;
    this.show();
    if (isNaming) this.bar.querySelector("input[type=text]").focus();
  }

  tagForm() {
    const input = h("input", { type: "text", "aria-label": "Tags to add, separated by commas", placeholder: "Tags, by commas", maxLength: 400, required: true });
    const keep = (event) => {
      event.preventDefault();
      const addTags = tagsOf(input.value);
      if (addTags.length) this.change({ addTags }, "tagged");
    };
    return h("form.name-view", { onsubmit: keep }, input, h("button.button.small.primary", { type: "submit" }, "Add"), action("Cancel", () => this.name(false)));
  }

  archive(isArchived) {
    if (isArchived) this.archiveAll();
    else this.change({ archived: false }, "restored");
  }

  async archiveAll() {
    const ids = [...this.ids];
    try {
      for (let at = 0; at < ids.length; at += AT_ONCE) await send("/v1/artifacts/archive", ids.slice(at, at + AT_ONCE));
      this.done(ids, "archived");
    } catch (error) {
      this.failed(error);
    }
  }

  async change(body, word) {
    const ids = [...this.ids];
    this.isNaming = false;
    try {
      for (const id of ids) await send(artifactPath(id), body, { method: "PUT" });
      this.done(ids, word);
    } catch (error) {
      this.failed(error);
    }
  }

  done(ids, word) {
    notify({ kind: "good", title: `${counted(ids.length, "artifact")} ${word}`, group: "artifacts" });
    this.clear();
    this.changed();
  }

  failed(error) {
    notify({ kind: "bad", title: "Not all artifacts were changed", text: sentence(error.message), group: "artifacts failed" });
    this.show();
    this.changed();
  }
}
