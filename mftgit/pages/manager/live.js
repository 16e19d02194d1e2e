// Keeps a page fresh: when the controller says that there is news, the page is fetched again, and each element with
// `data-live` and an id takes the place of the one before. Without this script the page is as it was loaded.

const PAUSE_MS = 1000;
const shown = document.getElementById("live-state");
let due = false;
let busy = false;

function tell(words) {
  if (shown && shown.textContent !== words) shown.textContent = words;
}

function exchange(fresh) {
  for (const now of document.querySelectorAll("[data-live][id]")) {
    const next = fresh.getElementById(now.id);
    if (!next || next.outerHTML === now.outerHTML) continue;
    const focus = now.contains(document.activeElement) ? place(now, document.activeElement) : null;
    now.replaceWith(document.adoptNode(next));
    if (focus !== null) restore(next, focus);
    next.dispatchEvent(new CustomEvent("fresh", { bubbles: true }));
  }
}

const FOCUSABLE = "a[href], button, input, select, textarea, [tabindex]";

function place(within, element) {
  return [...within.querySelectorAll(FOCUSABLE)].indexOf(element);
}

function restore(within, index) {
  within.querySelectorAll(FOCUSABLE)[index]?.focus({ preventScroll: true });
}

async function refresh() {
  if (busy) {
    due = true;
    return;
  }
  busy = true;
  due = false;
  try {
    const answer = await fetch(location.href, { headers: { "X-Live": "1" }, redirect: "manual" });
    if (answer.type === "opaqueredirect" || answer.status === 401) {
      location.reload();
      return;
    }
    if (answer.ok) exchange(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    tell("The controller does not answer; trying again");
  }
  setTimeout(() => {
    busy = false;
    if (due) refresh();
  }, PAUSE_MS);
}

function follow() {
  const line = new EventSource(document.body.dataset.live);
  line.addEventListener("open", () => tell("Live"));
  line.addEventListener("error", () => tell("Not live just now; trying again"));
  line.addEventListener("news", refresh);
  line.addEventListener("over", () => {
    line.close();
    location.reload();
  });
  addEventListener("pagehide", () => line.close());
}

follow();
