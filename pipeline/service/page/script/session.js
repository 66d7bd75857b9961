// The token: asked for when the service wants one, and changed for a cookie at once.

import { ApiError, ask, doors } from "./api.js";
import { h } from "./element.js";
import { failure } from "./parts.js";

let open = null;

/** Ask for a token whenever one is missing; then go on with what was asked. */
export function guard(goOn) {
  doors.addEventListener("token", () => {
    open ??= askForToken(() => {
      open = null;
      goOn();
    });
  });
}

function askForToken(done) {
  const token = h("input", { type: "password", id: "token", autocomplete: "current-password", required: true });
  const problem = h("div", {});
  const dialog = h(
    "dialog",
    { "aria-labelledby": "token-title" },
    h(
      "form",
      { method: "dialog", onsubmit: enter },
      h("h2", { id: "token-title" }, "Sign in"),
      h("p.muted", {}, "This server asks for a token. Its operator gives one out."),
      h("label.field", { htmlFor: "token" }, h("span", {}, "Token"), token),
      problem,
      h("button.button.primary", { type: "submit" }, "Sign in"),
    ),
  );

  async function enter(event) {
    event.preventDefault();
    try {
      await openSession(token.value.trim());
      dialog.close();
      dialog.remove();
      done();
    } catch (error) {
      token.setAttribute("aria-invalid", "true");
      problem.replaceChildren(failure(wrong(error)));
      token.select();
    }
  }

  dialog.addEventListener("cancel", (event) => event.preventDefault());
  document.body.append(dialog);
  dialog.showModal();
  token.focus();
  return dialog;
}

async function openSession(token) {
  const answer = await fetch("/v1/session", { method: "POST", headers: { Authorization: `Bearer ${token}` } });
  if (!answer.ok) throw new ApiError(answer.status, await answer.json());
  await ask("/readyz").catch(() => null);
}

function wrong(error) {
  return error.status === 401 ? new ApiError(401, { error: "this token is not known here", hint: "check it, or ask the operator" }) : error;
}
