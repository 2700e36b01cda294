// The theme switch, and the values under the pointer. Without it everything works by the system's theme.
"use strict";

(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const themes = ["system", "dark", "light"];
  if (button) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const next = themes[(themes.indexOf(root.dataset.theme) + 1) % themes.length];
      root.dataset.theme = next;
      button.querySelector("span").textContent = next;
      document.cookie = `theme=${next};path=/;max-age=31536000;samesite=strict`;
    });
  }

  for (const figure of document.querySelectorAll(".chart")) {
    const says = figure.querySelector(".says");
    const plot = figure.querySelector("svg");
    plot.addEventListener("pointermove", (event) => {
      if (event.target.dataset.says) says.textContent = event.target.dataset.says;
    });
    plot.addEventListener("pointerleave", () => { says.textContent = "\u00a0"; });
  }
})();
