// A button that copies what an element says, also where the page has no clipboard of its own (plain http).
"use strict";
(() => {
  const copied = new Map();  // what was copied just now, by the id of its element: the timer that ends the "Copied"
  const labels = new Map();  // what each button says before it was pressed

  function label(id, which) {
    for (const button of document.querySelectorAll(`[data-copy="${CSS.escape(id)}"]`)) {
      button.querySelector("span").textContent = which === "done" ? button.dataset.done : labels.get(id);
    }
  }

  // The page may be drawn anew by what the server says while a button says "Copied".
  function show() {
    for (const button of document.querySelectorAll("[data-copy]")) {
      button.hidden = false;
      const id = button.dataset.copy;
      if (copied.has(id)) label(id, "done"); else labels.set(id, button.querySelector("span").textContent);
    }
  }

  function selected(element) {
    const range = document.createRange();
    range.selectNodeContents(element);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    return document.execCommand("copy");
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy]");
    const element = button && document.getElementById(button.dataset.copy);
    if (!element) return;
    const text = element.textContent.replace(/\s+/g, " ").trim();
    let done = false;
    if (navigator.clipboard) {
      done = await navigator.clipboard.writeText(text).then(() => true, () => false);
    }
    done ||= selected(element);  // if that is refused too, it is marked, and can be copied by hand
    if (!done) return;
    const id = button.dataset.copy;
    clearTimeout(copied.get(id));
    copied.set(id, setTimeout(() => { copied.delete(id); label(id, "copy"); }, 4000));
    label(id, "done");
  });

  show();
  document.addEventListener("htmx:after:swap", show);
  document.addEventListener("htmx:sse:after:message", show);
})();
