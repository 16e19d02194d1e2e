// Checks a document by the gate's rules while somebody types, and shows what is found at its line.
// Without this script the button "Check" does the same.

const PAUSE_MS = 400;
const MOST_SHOWN = 50;
const form = document.getElementById("editor");
const text = document.getElementById("text");
const numbers = document.getElementById("numbers");
const state = document.getElementById("state");
const problems = document.getElementById("problems");
const path = form.elements.namedItem("name");
let timer = 0;
let asked = 0;
let found = new Map();

function count() {
  const lines = text.value.split("\n").length;
  if (numbers.childElementCount !== lines) {
    numbers.replaceChildren(...Array.from({ length: lines }, (_, at) => line(at + 1)));
  }
  for (const [at, each] of [...numbers.children].entries()) {
    const words = found.get(at + 1);
    each.classList.toggle("wrong", words !== undefined);
    each.textContent = words === undefined ? `${at + 1}` : `▸ ${at + 1}`;
    if (words === undefined) each.removeAttribute("title");
    else each.title = words;
  }
  follow();
}

function line(number) {
  const made = document.createElement("span");
  made.textContent = `${number}`;
  return made;
}

function follow() {
  numbers.scrollTop = text.scrollTop;
}

function go(number, column) {
  const lines = text.value.split("\n");
  const before = lines.slice(0, number - 1).reduce((sum, each) => sum + each.length + 1, 0);
  const at = before + Math.max(0, column - 1);
  text.focus();
  text.setSelectionRange(at, Math.max(at, before + (lines[number - 1] ?? "").length));
  const height = text.scrollHeight / lines.length;
  text.scrollTop = Math.max(0, (number - 4) * height);
}

function shown(problem) {
  const item = document.createElement("li");
  const own = problem.file === path.value && problem.line > 0;
  const place = document.createElement(own ? "button" : "code");
  place.textContent = own
    ? `Line ${problem.line}`
    : problem.file + (problem.line ? `:${problem.line}:${problem.column}` : "");
  if (own) {
    place.type = "button";
    place.className = "plain-button";
    place.addEventListener("click", () => go(problem.line, problem.column));
  }
  const hint = document.createElement("span");
  hint.className = "quiet";
  hint.textContent = problem.hint ? ` ${problem.hint}` : "";
  item.append(place, ` ${problem.message}`, hint);
  return item;
}

function tell(words) {
  if (state.textContent !== words) state.textContent = words;
}

function show(answer) {
  const all = answer.problems;
  const own = all.filter((each) => each.file === path.value);
  found = new Map(own.filter((each) => each.line).map((each) => [each.line, each.message]));
  const list = document.createElement("ul");
  list.className = "problems";
  list.append(...[...own, ...all.filter((each) => !own.includes(each))].slice(0, MOST_SHOWN).map(shown));
  problems.replaceChildren(...(all.length ? [list] : []));
  const first = own.find((each) => each.line);
  if (all.length === 0) tell("No problem was found.");
  else
    tell(
      `${all.length} ${all.length === 1 ? "problem" : "problems"}` +
        (first ? `; line ${first.line}: ${first.message}` : `: ${all[0].message}`),
    );
  count();
}

async function check() {
  const number = ++asked;
  const was = form.dataset.path;
  const files = { [path.value]: text.value };
  if (was !== path.value) files[was] = null;
  try {
    const answer = await fetch("/api/v1/validate", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Form-Token": document.body.dataset.formToken },
      body: JSON.stringify({ base: form.dataset.base, draft: true, files }),
    });
    if (number !== asked) return;
    const value = await answer.json();
    if (answer.ok) show(value);
    else tell(value.error ?? "This could not be checked.");
  } catch {
    if (number === asked) tell("The controller does not answer; what you type is not checked just now.");
  }
}

function later() {
  count();
  clearTimeout(timer);
  timer = setTimeout(check, PAUSE_MS);
}

text.addEventListener("input", later);
path.addEventListener("input", later);
text.addEventListener("scroll", follow);
text.addEventListener("keydown", (event) => {
  if (event.key === "s" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    form.querySelector('button[value="keep"]').click();
  }
});
count();
check();
