// Fills in the line that is clicked in the difference, and says when the proposal holds something else than was read.

const remark = document.getElementById("remark");
const opinion = document.getElementById("opinion");
const moved = document.getElementById("moved");

function fill(event) {
  const cell = event.target.closest("td.number");
  const row = cell?.closest("tr");
  const table = row?.closest("table.lines");
  const number = row?.querySelectorAll("td.number")[1]?.textContent;
  if (!remark || !table || !number) return;
  remark.querySelector("details").open = true;
  remark.elements.namedItem("path").value = table.dataset.path;
  remark.elements.namedItem("line").value = number;
  remark.elements.namedItem("text").focus();
}

function compare() {
  const now = document.getElementById("standing")?.dataset.revision;
  if (opinion && moved) moved.hidden = now === opinion.elements.namedItem("revision").value;
}

document.addEventListener("click", fill);
document.addEventListener("fresh", compare);
