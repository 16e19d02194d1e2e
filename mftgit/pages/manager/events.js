// Shows events as they come. Without this script the page is as it was loaded; its form and links work all the same.

const MOST = 300;
const following = document.getElementById("following");
const list = document.getElementById("events");
const button = document.getElementById("pause");
const shown = document.getElementById("follow-state");
let line = null;
let position = null;

function tell(words) {
  if (shown.textContent !== words) shown.textContent = words;
}

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// What others chose is shown as text only; a character that does not print is told by its number, as on the server.
function printable(text) {
  return String(text).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (found) => {
    const number = found.codePointAt(0);
    const [letter, digits] = number < 0x100 ? ["x", 2] : number < 0x10000 ? ["u", 4] : ["U", 8];
    return `\\${letter}${number.toString(16).padStart(digits, "0")}`;
  });
}

function link(href, text) {
  return element("a", printable(text), { href });
}

function about(told) {
  const { event, component, account } = told;
  const made = element("p", "", { class: "about" });
  const links = [
    link(`/events?member=${encodeURIComponent(event.member)}`, event.member),
    link(`/events?event=${encodeURIComponent(event.event)}`, event.event),
  ];
  if (component) {
    const transfer = component.startsWith("transfer/") ? component.slice(9) : null;
    const to = transfer ? `/transfers/${encodeURIComponent(transfer)}` : `/events?component=${encodeURIComponent(component)}`;
    links.push(link(to, component));
  }
  if (account) links.push(link(`/events?account=${encodeURIComponent(account)}`, account));
  if (event.revision) {
    const to = link(`/history/${encodeURIComponent(event.revision)}`, "");
    to.append(element("code", printable(event.revision.slice(0, 12))));
    links.push(to);
  }
  links.forEach((each, index) => made.append(index ? " " : "", each));
  return made;
}

function facts(event) {
  const made = element("details");
  const rows = element("dl", "", { class: "facts" });
  for (const [key, value] of Object.entries(event)) {
    if (value === null || key === "at" || key === "event") continue;
    const row = element("div");
    row.append(element("dt", printable(key)), element("dd", printable(typeof value === "string" ? value : JSON.stringify(value))));
    rows.append(row);
  }
  made.append(element("summary", "Facts"), rows);
  return made;
}

function show(told) {
  if (document.getElementById(`e${told.position}`)) return;
  const item = element("li", "", { id: `e${told.position}`, class: told.severity });
  const words = element("p", "", { class: "words" });
  words.append(
    element("time", printable(told.event.at), { datetime: told.event.at }), " ",
    element("span", told.severity, { class: `state ${told.severity}` }), " ",
    element("span", told.words),
  );
  item.append(words, about(told), facts(told.event));
  list.prepend(item);
  document.getElementById("none")?.remove();
  while (list.children.length > MOST && !list.lastElementChild.contains(document.activeElement)) list.lastElementChild.remove();
}

function follow() {
  const url = new URL(following.dataset.follow, location.href);
  if (position !== null) url.searchParams.set("after", position);
  line = new EventSource(url);
  line.addEventListener("open", () => tell("Live"));
  line.addEventListener("error", () => tell("Not live just now; trying again"));
  line.addEventListener("event", (message) => {
    position = message.lastEventId;
    show(JSON.parse(message.data));
  });
  line.addEventListener("over", () => {
    end();
    location.reload();
  });
}

function end() {
  line?.close();
  line = null;
}

button.addEventListener("click", () => {
  const pauses = line !== null;
  button.textContent = pauses ? "Go on" : "Pause";
  if (pauses) {
    end();
    tell("Paused");
  } else follow();
});

addEventListener("pagehide", end);
addEventListener("pageshow", (shownAgain) => {
  if (shownAgain.persisted && shown.textContent !== "Paused") follow();
});
following.hidden = false;
follow();
