// Light or dark: the system's choice until the switch is used.

const KEY = "flowtime-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

/** Fires `change` when the colours change. */
export const theme = new EventTarget();

/** Connect the button that switches. */
export function switchBy(button) {
  const show = () => {
    button.setAttribute("aria-pressed", String(isDark()));
    theme.dispatchEvent(new Event("change"));
  };
  button.addEventListener("click", () => {
    const chosen = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = chosen;
    try {
      localStorage.setItem(KEY, chosen);
    } catch {
      // The choice then lasts as long as the page.
    }
    show();
  });
  dark.addEventListener("change", show);
  show();
}

/** Return a colour of the style sheet as it is now, for a canvas. */
export function colour(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : dark.matches;
}
