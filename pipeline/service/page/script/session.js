// The token: entered once when the service requires one, and exchanged for a cookie at once.

import { ApiError, ask, doors } from "./api.js";
import { h } from "./element.js";
import { failure } from "./parts.js";

let open = null;

/** Show the sign-in dialog whenever a token is missing; then continue. */
export function guard(goOn) {
  doors.addEventListener("token", () => {
    open ??= signIn(() => {
      open = null;
      goOn();
    });
  });
}

function signIn(done) {
  const token = h("input", { type: "password", id: "token", autocomplete: "current-password", required: true });
  const problem = h("div", {});
  const dialog = h(
    "dialog",
    { "aria-labelledby": "token-title" },
    h(
      "form",
      { method: "dialog", onsubmit: enter },
      h("h2", { id: "token-title" }, "Sign in"),
      h("p.muted", {}, "This server requires a token. Its operator hands them out."),
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
  const response = await fetch("/v1/session", { method: "POST", headers: { Authorization: `Bearer ${token}` } });
  if (!response.ok) throw new ApiError(response.status, await response.json());
  await ask("/readyz").catch(() => null);
}

function wrong(error) {
  return error.status === 401 ? new ApiError(401, { error: "This token is not valid. Check it, or ask the operator." }) : error;
}
