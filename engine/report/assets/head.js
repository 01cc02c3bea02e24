// Before anything is drawn: the page learns that scripts run, and takes the theme that was chosen last.
document.documentElement.classList.add("js");
try {
  const theme = localStorage.getItem("meshdrop-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // a browser may refuse storage to pages opened from a folder
}
