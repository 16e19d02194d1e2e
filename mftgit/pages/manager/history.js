// Keeps the two revisions chosen that somebody has chosen, where the list gets a new one meanwhile.

const chosen = new Map();

document.addEventListener("change", (event) => {
  if (event.target.type === "radio") chosen.set(event.target.name, event.target.value);
});
document.addEventListener("fresh", () => {
  for (const [name, value] of chosen) {
    const again = document.querySelector(`input[name="${name}"][value="${value}"]`);
    if (again) again.checked = true;
  }
});
