// What a user of the page can do about an error: the API's own hints are written for programs.

const ADVICE = {
  unreachable: "It may be restarting. Try again in a moment.",
  unauthorized: "Sign in with a valid token.",
  "run-not-found": "It may have been moved or renamed. The list of runs shows what is there now.",
  "artifact-not-found": "It may have been moved or removed. The list of artifacts shows what is there now.",
  "registry-failed": "The list of artifacts cannot be read now. Runs and exports are not affected.",
  "ambiguous-run": "Several runs have this id. Open the one you mean from the list of runs.",
  "run-not-complete": "The list of runs shows its state.",
  "not-comparable": "Compare runs of the same model, or of versions of it.",
  "run-damaged": "Repair the run's files, or evaluate its model again.",
  "unsupported-format": "Choose CSV, NDJSON or Parquet.",
  "invalid-options": "Check the columns and the condition. The preview shows the names of the columns.",
  "store-failed": "The storage did not work as expected. Try again; if it persists, ask the operator.",
  "export-not-found": "It may have been deleted. Export the run again.",
  "export-in-use": "An export is writing it now. Wait until that is finished.",
  "job-not-found": "The history keeps only the latest jobs.",
  "job-finished": "It has finished in the meantime.",
  busy: "Wait a moment, then try again.",
  "too-many-requests": "Wait a moment, then try again.",
  "uploads-disabled": "The operator has switched uploads off.",
  "body-too-large": "Choose smaller files, or ask the operator to raise the limit.",
  "run-exists": "Replace the run, or keep the one that is there.",
  "import-rejected": "Correct the file, or adjust the options below the file list.",
  "worker-failed": "It may have needed more memory than is available. Try fewer columns or a condition.",
  "timed-out": "Export fewer formats at a time, or ask the operator to raise the time limit.",
  interrupted: "Start it again.",
  internal: "Try again. If it fails again, the operator finds the cause in the log.",
};

/** Return what to do about an error, or an empty text. */
export const advice = (error) => ADVICE[error?.code] ?? "";
