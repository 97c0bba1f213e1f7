// Choosing many: all of a section at once, and how many are chosen. data-choose is the name of the boxes.
const form = document.querySelector("form[data-choose]");
const boxes = (within) => [...within.querySelectorAll(`input[name="${form.dataset.choose}"]`)];

function tell() {
  const chosen = boxes(form).filter((box) => box.checked).length;
  const said = document.getElementById("chosen");
  said.textContent = chosen ? said.dataset.some.replace("%s", chosen) : said.dataset.none;
  for (const all of form.querySelectorAll("[data-all]")) {
    const own = boxes(all.closest("section"));
    const some = own.filter((box) => box.checked).length;
    all.checked = some === own.length;
    all.indeterminate = some > 0 && some < own.length;
  }
}

for (const label of form.querySelectorAll(".tick-all")) label.hidden = false;
form.addEventListener("change", (event) => {
  if (event.target.matches("[data-all]")) {
    for (const box of boxes(event.target.closest("section"))) box.checked = event.target.checked;
  }
  tell();
});
tell();
