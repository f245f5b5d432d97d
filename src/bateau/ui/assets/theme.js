// Before the first paint, so that no page is bright for a moment.
const theme = localStorage.getItem("bateau-theme");
if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
