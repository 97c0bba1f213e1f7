// A button that copies what an element says, also where the page has no clipboard of its own (plain http).
"use strict";
(() => {
  const show = () => { for (const button of document.querySelectorAll("[data-copy][hidden]")) button.hidden = false; };

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
    const label = button.querySelector("span");
    button.dataset.said ??= label.textContent;
    label.textContent = button.dataset.done;
    setTimeout(() => { label.textContent = button.dataset.said; }, 4000);
  });

  show();
  document.addEventListener("htmx:after:swap", show);
  document.addEventListener("htmx:sse:after:message", show);
})();
