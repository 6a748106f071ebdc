// Applies the stored theme before anything is drawn. "light" or "dark"; nothing stored: as the system.
(() => {
  try {
    const theme = localStorage.getItem("jobproc.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage may be forbidden: then the theme is that of the system.
  }
})();
