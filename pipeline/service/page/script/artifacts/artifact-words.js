// Types and relations of artifacts, in words.

/** Tone and word of each type. */
export const TYPES = {
  run: ["busy", "Run"],
  telemetry: ["busy", "Telemetry"],
  model: ["", "Model"],
  export: ["good", "Export"],
  comparison: ["warn", "Comparison"],
};

/** Return tone and word of each mark that people gave an artifact. */
export const marksOf = ({ pinned, archived }) => [...(pinned ? [["busy", "Pinned"]] : []), ...(archived ? [["", "Archived"]] : [])];

/** Return the tags of a text that separates them by commas. */
export const tagsOf = (text) => text.split(",").map((tag) => tag.trim()).filter(Boolean);

/** What an artifact is to one that was made of it, by their relation. */
export const SOURCES = {
  exportOf: "its run",
  restoredFrom: "its origin",
  model: "its model",
  baseline: "baseline",
  comparison: "compared with the baseline",
};

/** What an artifact is to the one that it was made of. */
export const DERIVATIVES = {
  exportOf: "exported from it",
  restoredFrom: "restored from it",
  model: "evaluated from it",
  baseline: "has it as the baseline",
  comparison: "compares it",
};

/** In what runs are alike. */
export const LIKENESSES = { sameScenario: "Same scenario", sameModel: "Same model" };

/** Types that have values, so that they can be compared. */
export const isComparable = (artifact) => artifact.state === "complete" && ["run", "telemetry", "export"].includes(artifact.type);

/** Types that the service exports. */
export const isExportable = (artifact) => artifact.state === "complete" && ["run", "telemetry"].includes(artifact.type);

/** Fields that facets count, the parameter of the list that each narrows, and whether several values go together. */
export const FACETS = {
  type: { title: "Type", key: "type", isMany: true, words: (value) => TYPES[value]?.[1] ?? value },
  tags: { title: "Tags", key: "tags", isMany: true },
  component: { title: "Component", key: "component" },
  measure: { title: "Measure", key: "measure" },
  class: { title: "Class", key: "class" },
  template: { title: "Template", key: "templateId" },
  source: { title: "Source", key: "source" },
  day: { title: "Created on", key: "day" },
};

/** Parameters of the list that narrow it, beside those of the facets, and what a chip calls them. */
export const OTHER_FILTERS = {
  modelId: "Model",
  relatedTo: "Related to",
  owner: "Owner",
  createdAfter: "From",
  createdBefore: "Until",
};
