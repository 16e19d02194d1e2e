// Shows, of parts of which exactly one is there, the one that is chosen, and checks the form by the gate's rules while
// somebody fills it in. Without this script all parts are shown, and the button "Check" does the same.

const PAUSE_MS = 400;
const form = document.getElementById("form");
const state = document.getElementById("state");
const elsewhere = document.getElementById("elsewhere");
let timer = 0;
let asked = 0;

function follow(set) {
  const chosen = set.querySelector("select").value;
  for (const part of set.children) {
    if (part.dataset.part !== undefined) part.hidden = part.dataset.part !== chosen;
  }
}

function tell(words) {
  if (state.textContent !== words) state.textContent = words;
}

const reasons = (field) => [...(field?.children ?? [])].filter((each) => each.classList.contains("reason"));

// What was found comes as the page that the button would give; what is filled in stays, and where the focus is.
function show(page) {
  const fresh = new Map([...page.querySelectorAll("[data-field]")].map((each) => [each.dataset.field, each]));
  for (const field of form.querySelectorAll("[data-field]")) {
    const found = reasons(fresh.get(field.dataset.field));
    reasons(field).forEach((each) => each.remove());
    field.append(...found);
    const control = field.querySelector(":scope > label > :is(input, select, textarea)");
    if (found.length) {
      control?.setAttribute("aria-invalid", "true");
      for (let at = field.closest("details"); at; at = at.parentElement.closest("details")) at.open = true;
    } else control?.removeAttribute("aria-invalid");
  }
  elsewhere.replaceChildren(...page.getElementById("elsewhere").childNodes);
  tell(page.getElementById("state").textContent);
}

async function check() {
  const number = ++asked;
  const filled = new URLSearchParams(new FormData(form));
  filled.set("do", "check");
  try {
    const answer = await fetch(form.action, { method: "POST", body: filled });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (number !== asked) return;
    if (page.getElementById("form") && page.getElementById("elsewhere")) show(page);
    else tell("This could not be checked.");
  } catch {
    if (number === asked) tell("The controller does not answer; what you fill in is not checked just now.");
  }
}

function later() {
  clearTimeout(timer);
  timer = setTimeout(check, PAUSE_MS);
}

for (const set of document.querySelectorAll("fieldset.one-of")) {
  set.querySelector("select").addEventListener("change", () => follow(set));
  follow(set);
}
form.addEventListener("input", later);
