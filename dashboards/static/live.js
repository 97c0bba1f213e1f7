// What every live page needs: ages that grow, and whether the stream of changes is connected.
// Loaded before htmx, which may open the stream before a later script has arrived.
"use strict";
(() => {
  const language = document.documentElement.lang;
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "always", style: "narrow" });
  // The page's own time is the server's; a phone's clock may be wrong by minutes.
  const meta = document.querySelector('meta[name="server-time"]');
  const ahead = meta ? Date.now() - Date.parse(meta.content) : 0;

  function ageOf(instant) {
    const seconds = Math.max(0, Math.round((Date.now() - ahead - Date.parse(instant)) / 1000));
    if (seconds < 60) return relative.format(-seconds, "second");
    if (seconds < 3600) return relative.format(-Math.floor(seconds / 60), "minute");
    if (seconds < 86400) return relative.format(-Math.floor(seconds / 3600), "hour");
    return relative.format(-Math.floor(seconds / 86400), "day");
  }

  function tellAges() {
    for (const time of document.querySelectorAll("time[data-age]")) {
      const text = ageOf(time.dateTime);
      if (time.textContent !== text) time.textContent = text;
    }
  }

  const light = document.getElementById("live");
  function show(state) {
    if (!light || light.dataset.state === state) return;
    light.dataset.state = state;
    light.querySelector("span").textContent = light.dataset[state];
  }

  tellAges();
  setInterval(tellAges, 1000);
  document.addEventListener("htmx:after:swap", tellAges);
  document.addEventListener("htmx:sse:after:message", () => { show("live"); tellAges(); });
  document.addEventListener("htmx:sse:after:connection", () => show("live"));
  document.addEventListener("htmx:sse:error", (event) => {
    // Logged out elsewhere, or the link has expired: the page itself says what to do.
    if (event.detail.status === 401 || event.detail.status === 403) location.reload();
    show("lost");
  });
  // The first connection may fail too (the server was just being started again); try until one holds.
  const source = document.querySelector("[hx-sse\\:connect]");
  if (source) setInterval(() => {
    if (source._htmx?.sse || document.hidden) return;
    show("lost");
    htmx.ajax("GET", source.getAttribute("hx-sse:connect"), { source });
  }, 5000);
  // A page brought back by the browser's Back button is as old as when it was left.
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
})();
