// What people say of an artifact: title, tags, note, owner; pinned or archived.

import { artifactPath, send } from "../api.js";
import { fill, foreign, h, plain } from "../element.js";
import { action, failure } from "../parts.js";
import { artifactsAddress } from "../route.js";
import { tagsOf } from "./artifact-words.js";

/**
 * Make the form.
 *
 * @param {object} artifact
 * @param {(artifact: object) => void} changed Called with the artifact as it is after a change.
 */
export function userDataForm(artifact, changed) {
  let now = artifact;
  const state = h("div", { role: "status" });
  const tags = h("ul.chips", { "aria-label": "Tags" });
  const title = h("input", { type: "text", value: now.title, maxLength: 200 });
  const owner = h("input", { type: "text", value: now.owner ?? "", maxLength: 200 });
  const note = h("textarea", { value: now.note ?? "", rows: 4, maxLength: 20_000 });
  const tag = h("input", { type: "text", maxLength: 100, placeholder: "New tag", "aria-label": "New tag" });
  const pinned = h("input", { type: "checkbox", onchange: () => keep({ pinned: pinned.checked }) });
  const archived = h("input", { type: "checkbox", onchange: () => keep({ archived: archived.checked }) });

  async function keep(change) {
    fill(state, "Saving …");
    try {
      now = await send(artifactPath(artifact.id), change, { method: "PUT" });
      fill(state, "Saved");
      changed(now);
    } catch (error) {
      fill(state, failure(error));
    }
    refresh();
  }

  function refresh() {
    pinned.checked = now.pinned;
    archived.checked = now.archived;
    fill(tags, ...now.tags.filter((one) => one !== "archived").map(chip));
  }

  const chip = (one) =>
    h(
      "li.chip",
      {},
      h("a", { href: artifactsAddress({ tags: one }) }, foreign(one)),
      action("×", () => keep({ removeTags: [one] }), { kind: "tiny", label: `Remove the tag ${plain(one)}` }),
    );

  function addTag(event) {
    event.preventDefault();
    const addTags = tagsOf(tag.value);
    if (!addTags.length) return;
    tag.value = "";
    keep({ addTags });
  }

  function save(event) {
    event.preventDefault();
    const change = {};
    if (title.value !== now.title) change.title = title.value;
    if (owner.value !== (now.owner ?? "")) change.owner = owner.value;
    if (note.value !== (now.note ?? "")) change.note = note.value;
    if (Object.keys(change).length) keep(change);
  }

  refresh();
  return h(
    "section.panel",
    { "aria-label": "Notes and tags" },
    h("header", {}, h("h2", {}, "Notes and tags")),
    tags,
    h("form.name-view", { onsubmit: addTag }, tag, h("button.button.small", { type: "submit" }, "Add tag")),
    h(
      "form.user-data",
      { onsubmit: save },
      h("label.field", {}, h("span", {}, "Title (empty: the automatic one)"), title),
      h("label.field", {}, h("span", {}, "Owner"), owner),
      h("label.field", {}, h("span", {}, "Note"), note),
      h("div.links", {}, h("button.button.small.primary", { type: "submit" }, "Save"), state),
    ),
    h("div.checks", {}, h("label.check", {}, pinned, "Pinned"), h("label.check", {}, archived, "Archived: lists leave it out")),
  );
}
