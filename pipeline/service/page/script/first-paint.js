// The chosen colours, before anything is drawn: a classic script, so that it runs first.
(function () {
  try {
    const chosen = localStorage.getItem("flowtime-theme");
    if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage may be forbidden; the system's colours are used then.
  }
})();
