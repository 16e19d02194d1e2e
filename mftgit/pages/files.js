"use strict";
const TRIES = 8, FIRST_PAUSE_MS = 1000;
const list = document.getElementById("uploads");
const choose = document.getElementById("choose");
const drop = document.getElementById("drop");
if (drop) {
  choose.addEventListener("change", () => { send(choose.files); choose.value = ""; });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop") send(event.dataTransfer.files);
    });
  }
}
let sending = 0;
let failed = false;
async function send(files) {
  sending += 1;
  for (const file of files) failed = !(await upload(file)) || failed;
  sending -= 1;
  if (sending === 0 && !failed) location.reload(); // which would break off what is being sent
}
async function upload(file) {
  const row = document.createElement("li");
  const bar = document.createElement("progress");
  const note = document.createElement("span");
  bar.max = Math.max(file.size, 1);
  bar.setAttribute("aria-label", file.name);
  row.append(file.name + " ", note, bar);
  list.append(row);
  const path = location.pathname + encodeURIComponent(file.name);
  let at = 0;
  for (let turn = 0; turn < TRIES; turn++) {
    if (turn > 0) {
      note.textContent = "the connection was lost, trying again";
      await new Promise((done) => setTimeout(done, FIRST_PAUSE_MS * 2 ** (turn - 1)));
      at = await reached(path, file.size);
      if (at === null) continue;
      if (at >= file.size) at = 0;
    }
    const [status, text] = await put(path, file, at, (sent) => { bar.value = at + sent; });
    if (status >= 200 && status < 300) { bar.value = bar.max; note.textContent = "done"; return true; }
    if (status !== 0 && status !== 409 && status !== 503) {
      note.className = "failed";
      note.textContent = status === 401 ? "log in again" : text;
      return false;
    }
  }
  note.className = "failed";
  note.textContent = "the server cannot be reached";
  return false;
}
async function reached(path, total) {
  try {
    const headers = { "Content-Range": "bytes */" + total, "Mftgit-Page": "1" };
    const answer = await fetch(path, { method: "PUT", headers });
    return answer.ok ? Number(answer.headers.get("Upload-Offset")) : null;
  } catch { return null; }
}
function put(path, file, at, told) {
  return new Promise((done) => {
    const request = new XMLHttpRequest();
    request.open("PUT", path);
    request.setRequestHeader("Mftgit-Page", "1");
    if (at > 0) request.setRequestHeader("Content-Range", `bytes ${at}-${file.size - 1}/${file.size}`);
    request.upload.onprogress = (event) => told(event.loaded);
    request.onload = () => done([request.status, request.responseText.trim()]);
    request.onerror = request.onabort = () => done([0, ""]);
    request.send(at > 0 ? file.slice(at) : file);
  });
}
