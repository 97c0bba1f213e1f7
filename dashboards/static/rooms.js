// The room board: find and filter without asking the server, and point out what has just changed.
"use strict";
(() => {
  const board = document.getElementById("board");
  const find = document.getElementById("q");
  const form = find.form;
  const none = document.getElementById("no-match");
  let state = form.elements.state.value;

  function apply() {
    const words = find.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const floor of board.querySelectorAll(".floor")) {
      let here = 0;
      for (const room of floor.querySelectorAll(".room")) {
        const isShown = (!state || room.dataset.flags.split(" ").includes(state))
          && words.every((word) => room.dataset.find.includes(word));
        room.hidden = !isShown;
        here += isShown;
      }
      floor.hidden = here === 0;
      shown += here;
    }
    if (none) none.hidden = shown > 0;
    for (const tile of document.querySelectorAll("#summary .tile")) {
      if (tile.dataset.state === state) tile.setAttribute("aria-current", "true");
      else tile.removeAttribute("aria-current");
    }
  }

  function remember() {
    const query = new URLSearchParams();
    if (find.value.trim()) query.set("q", find.value.trim());
    if (state) query.set("state", state);
    const text = query.toString();
    history.replaceState(history.state, "", text ? `?${text}` : location.pathname);
    form.elements.state.value = state;
    const language = document.querySelector(".language");
    if (language) language.elements.back.value = location.pathname + location.search;
    apply();
  }

  document.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    const tile = event.target.closest("#summary .tile, [data-clear]");
    if (!tile) return;
    event.preventDefault();
    if (tile.hasAttribute("data-clear")) { find.value = ""; state = ""; }
    else state = tile.dataset.state === state ? "" : tile.dataset.state;
    remember();
  });
  find.addEventListener("input", remember);
  form.addEventListener("submit", (event) => { event.preventDefault(); remember(); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== find && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      find.focus();
      find.select();
    } else if (event.key === "Escape" && document.activeElement === find) {
      find.value = "";
      remember();
      find.blur();
    }
  });

  // What a screen reader is told: rooms whose state changed, not every reading.
  const announcer = document.getElementById("announcer");
  const said = new Map();
  const note = () => { for (const room of board.querySelectorAll(".room")) said.set(room.id, room.dataset.say); };
  note();

  function changed() {
    apply();
    const news = [];
    for (const room of board.querySelectorAll(".room")) {
      if (said.get(room.id) === room.dataset.say) continue;
      news.push(room.dataset.say);
      room.classList.remove("changed");
      void room.offsetWidth; // starts the animation anew
      room.classList.add("changed");
    }
    if (news.length) announcer.textContent = news.join(". ");
    note();
  }
  document.addEventListener("htmx:sse:after:message", changed);
  apply();
})();
