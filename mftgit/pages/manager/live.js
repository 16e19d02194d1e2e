// Keeps a page fresh: when the controller says that there is news, the page is fetched again, and each element with
// `data-live` and an id takes the place of the one before. Without this script the page is as it was loaded.

const PAUSE_MS = 1000;
const AGAIN_MS = 30000;
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
    const focus = now.contains(document.activeElement) ? nameOf(document.activeElement) : null;
    for (const each of now.querySelectorAll("details[id][open]")) {
      next.querySelector(`#${CSS.escape(each.id)}`)?.setAttribute("open", "");
    }
    now.replaceWith(document.adoptNode(next));
    if (focus !== null) restore(next, focus);
    next.dispatchEvent(new CustomEvent("fresh", { bubbles: true }));
  }
}

const FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex]";

// What the focus is on is found again by what it is, never by its place: another button may stand there now.
function nameOf(element) {
  const form = element.form ? element.form.getAttribute("action") : "";
  return [element.tagName, element.id, form, element.getAttribute("href"), element.name,
    element.getAttribute("aria-label"), element.textContent.trim()].join("\n");
}

function restore(within, name) {
  const found = [...within.querySelectorAll(FOCUSABLE)].filter((each) => nameOf(each) === name);
  if (found.length === 1) found[0].focus({ preventScroll: true });
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
  line.addEventListener("error", () => {
    tell("Not live just now; trying again");
    if (line.readyState !== EventSource.CLOSED) return;
    refresh(); // which goes to where one logs in, where the session has ended
    setTimeout(follow, AGAIN_MS);
  });
  line.addEventListener("news", refresh);
  line.addEventListener("over", () => {
    line.close();
    location.reload();
  });
  addEventListener("pagehide", () => line.close());
}

follow();
// Times such as "5 s ago" go on also where there is no news.
setInterval(() => document.visibilityState === "visible" && refresh(), AGAIN_MS);
