// Runs that are to be exported as soon as they are complete; kept in this browser.

import { ask } from "./api.js";
import { exportAndTell } from "./exporting.js";
import { live } from "./live.js";
import { notify } from "./toasts.js";

const KEY = "flowtime-export-when-complete";
const LOOK_EVERY = 15_000;

/** Whether a run, named by its folder, waits for its export. */
export const isWaiting = (path) => read().includes(path);

/** Have a run exported when it completes, or no longer. */
export function setWaiting(path, wanted) {
  const others = read().filter((one) => one !== path);
  write(wanted ? [...others, path] : others);
}

/** Look after the runs that wait for as long as this page is open. */
export function lookAfterWaiting() {
  live.addEventListener("runs", look);
  setInterval(look, LOOK_EVERY);
  look();
}

async function look() {
  for (const path of read()) {
    const name = path.split("/").pop();
    const query = new URLSearchParams({ search: name.slice(0, 200), pageSize: "100", refresh: "true" });
    const page = await ask(`/v1/runs?${query}`).catch(() => null);
    const run = page?.items.find((one) => one.path === path);
    if (run?.state === "complete" && isWaiting(path)) {
      setWaiting(path, false);
      notify({ kind: "info", title: `${run.id} is complete`, text: "Its export begins." });
      await exportAndTell(run.id);
    }
  }
}

function read() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? kept.filter((one) => typeof one === "string") : [];
  } catch {
    return [];
  }
}

function write(paths) {
  try {
    localStorage.setItem(KEY, JSON.stringify(paths.slice(-100)));
  } catch {
    notify({ kind: "bad", title: "This browser keeps nothing for this page", text: "The switch cannot be remembered." });
  }
}
