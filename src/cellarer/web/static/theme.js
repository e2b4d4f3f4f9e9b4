// Dark, light, or as the system says; remembered in this browser.

const NEXT = { auto: "dark", dark: "light", light: "auto" };
const SIGN = { auto: "◐", dark: "☾", light: "☀" };
const button = document.getElementById("theme");

function stored() {
  const value = localStorage.getItem("theme");
  return value in NEXT ? value : "auto";
}

function show(theme) {
  document.documentElement.dataset.theme = theme;
  button.textContent = SIGN[theme];
  button.setAttribute("aria-label", `Colour scheme: ${theme}`);
  window.dispatchEvent(new Event("themechange"));
}

button.addEventListener("click", () => {
  const theme = NEXT[stored()];
  localStorage.setItem("theme", theme);
  show(theme);
});
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(stored()));
show(stored());
