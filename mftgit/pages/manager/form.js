// Shows, of parts of which exactly one is there, the one that is chosen. Without this script all are shown.

function follow(set) {
  const chosen = set.querySelector("select").value;
  for (const part of set.children) {
    if (part.dataset.part !== undefined) part.hidden = part.dataset.part !== chosen;
  }
}

for (const set of document.querySelectorAll("fieldset.one-of")) {
  set.querySelector("select").addEventListener("change", () => follow(set));
  follow(set);
}
