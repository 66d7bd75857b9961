// A banner that says what is wrong with the service, and how old the shown state is.

import { fill, foreign, h } from "./element.js";
import { live } from "./live.js";
import { sentence } from "./parts.js";
import { span } from "./wording.js";

const PERIOD = 15_000;
const SHORT_BREAK = 3000;

const banner = document.getElementById("banner");
let isConnected = true;
let health = null;
let seen = Date.now();

/** Keep the banner up to date. */
export function watchHealth() {
  let later = 0;
  live.addEventListener("state", ({ detail: isOpen }) => {
    clearTimeout(later);
    // A short break, as at a restart, is not worth a banner.
    later = setTimeout(() => {
      isConnected = isOpen;
      check();
    }, isOpen ? 0 : SHORT_BREAK);
  });
  for (const name of ["health", "runs"]) live.addEventListener(name, check);
  setInterval(check, PERIOD);
  check();
}

async function check() {
  try {
    health = await (await fetch("/readyz")).json();
    seen = Date.now();
  } catch {
    health = null;
  }
  show();
}

function show() {
  const notices = [];
  if (health === null) {
    notices.push(notice("The server cannot be reached.", `What you see is ${span((Date.now() - seen) / 1000)} old.`));
  } else if (!isConnected) {
    notices.push(notice("No live updates.", "The page reads the state every few seconds instead."));
  }
  for (const problem of health?.problems ?? []) notices.push(notice(...worded(problem, health)));
  if (notices.length || banner.children.length) fill(banner, ...notices);
}

function worded({ part, message }, { listedUtc }) {
  const age = listedUtc ? span((Date.now() - new Date(listedUtc)) / 1000) : null;
  const texts = {
    runs: ["The runs cannot be listed", age ? `The list is ${age} old.` : "There is no list yet."],
    history: ["The job history cannot be written", "Exports go on, but the history may miss them."],
    exports: ["The storage of the exports does not work", "Exports will fail until it does."],
  };
  const [title, consequence] = texts[part] ?? ["The service has a problem", ""];
  return [`${title}: ${message}.`, consequence];
}

const notice = (title, text) => h("p", {}, h("b", {}, foreign(sentence(title))), text ? ` ${text}` : null);
