// Chooses the theme before the first paint: a plain script in the head, since modules run only after it.
{
  let chosen = null;
  try {
    chosen = localStorage.getItem("featurewatch.theme");
  } catch {
    // Storage is closed to this page: the system's choice stands.
  }
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = chosen === "light" || chosen === "dark" ? chosen : dark ? "dark" : "light";
}
