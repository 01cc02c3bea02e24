// Theme, comparisons of the views, and what else needs no 3D.
(() => {
  "use strict";
  const page = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");

  const theme = document.getElementById("theme");
  const isDark = () => (page.dataset.theme ? page.dataset.theme === "dark" : dark.matches);
  const showTheme = () => theme.setAttribute("aria-pressed", String(isDark()));
  theme.addEventListener("click", () => {
    page.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem("meshdrop-theme", page.dataset.theme);
    } catch {
      // not kept, then
    }
    showTheme();
  });
  dark.addEventListener("change", showTheme);
  showTheme();

  const grid = document.getElementById("view-grid");
  const LABEL = { render: "render", difference: "difference", depth: "depth error" };

  const show = (card) => {
    const slider = card.querySelector("input[type=range]");
    const share = Number(slider.value);
    card.querySelector(".pictures").style.setProperty("--split", share + "%");
    const other = LABEL[grid.dataset.against];
    slider.setAttribute("aria-valuetext", `${share} % input, ${100 - share} % ${other}`);
  };
  const cards = [...grid.querySelectorAll(".view")];
  for (const card of cards) {
    card.querySelector("input[type=range]").addEventListener("input", () => show(card));
    show(card);
  }

  for (const choice of document.querySelectorAll("input[name=against]")) {
    const choose = () => {
      if (!choice.checked) return;
      grid.dataset.against = choice.value;
      for (const card of cards) {
        card.querySelector(".tag.other").textContent = LABEL[choice.value];
        show(card);
      }
      for (const legend of document.querySelectorAll("[data-legend]")) {
        legend.hidden = legend.dataset.legend !== choice.value;
      }
    };
    choice.addEventListener("change", choose);
    choose();
  }

  const all = document.getElementById("all-sliders");
  all.addEventListener("input", () => {
    for (const card of cards) {
      card.querySelector("input[type=range]").value = all.value;
      show(card);
    }
  });
})();
