// The pairs of runs that were compared last.

import { ask } from "../api.js";
import { fill, foreign, h } from "../element.js";
import { compareAddress } from "../route.js";
import { since } from "../times.js";

const READ = 50;
const SHOWN = 8;

/** Make the list of recent comparisons, without the one that is shown. */
export function recentComparisons([baseline, comparison], signal) {
  const list = h("ul.recent", {});
  const element = h("section.panel", { "aria-label": "Recent comparisons", hidden: true }, h("h2", {}, "Recent comparisons"), list);

  async function load() {
    const { items } = await ask(`/v1/jobs?kind=comparison&pageSize=${READ}`, { signal });
    const pairs = new Map();
    for (const { request, created } of items) {
      const address = compareAddress(request.run, request.other);
      if (request.run === baseline && request.other === comparison) continue;
      if (!pairs.has(address)) pairs.set(address, { request, created });
    }
    const shown = [...pairs].slice(0, SHOWN);
    element.hidden = shown.length === 0;
    fill(list, ...shown.map(([address, { request, created }]) => h("li", {}, h("a", { href: address }, foreign(request.run), " and ", foreign(request.other)), h("small.muted", {}, since(created)))));
  }

  load().catch(() => {}); // without the history, the comparison itself is still shown
  return element;
}
