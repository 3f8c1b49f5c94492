// Live news of the invoice and nothing else: without this script the page works by reload.
(() => {
  "use strict";
  const main = document.querySelector("main[data-state]");
  if (!main) return;
  const parts = ["standing", "facts", "actions"];
  let timer;
  let isLooking = false;
  let quietSince = Date.now();

  // Only what differs is exchanged, and what the customer has opened stays open.
  function take(fresh) {
    const next = fresh.querySelector("main[data-state]");
    if (!next) return;
    main.dataset.version = next.dataset.version;
    quietSince = Date.now();
    for (const id of parts) {
      const mine = document.getElementById(id);
      const other = next.querySelector(`#${id}`);
      if (!mine || !other || mine.innerHTML === other.innerHTML) continue;
      const focused = mine.contains(document.activeElement) && document.activeElement.id;
      const open = [...mine.querySelectorAll("details[open]")].map((element) => element.id);
      mine.replaceChildren(...other.childNodes);
      for (const name of open) document.getElementById(name)?.setAttribute("open", "");
      if (focused) document.getElementById(focused)?.focus();
    }
  }

  async function show() {
    // Whoever waits to be sent on asks anew for the page that sends on.
    if ("goesOn" in main.dataset) return location.replace(location.href);
    const page = await fetch(location.pathname, { cache: "no-store" });
    if (page.ok) take(new DOMParser().parseFromString(await page.text(), "text/html"));
  }

  async function look() {
    clearTimeout(timer);
    if (isLooking || document.hidden) return;
    isLooking = true;
    let next = 10000;
    try {
      const answer = await fetch(main.dataset.state, { cache: "no-store" });
      if (answer.ok) {
        const told = await answer.json();
        next = told.nextMs;
        if (told.version !== main.dataset.version) await show();
      }
    } catch {
      // The connection is away; the next look tells all that was missed.
    } finally {
      isLooking = false;
    }
    // A page that is left open asks less and less: after ten quiet minutes, eleven times so seldom.
    timer = setTimeout(look, next * (1 + (Date.now() - quietSince) / 60000));
  }

  document.addEventListener("visibilitychange", () => {
    quietSince = Date.now();
    look();
  });
  addEventListener("pageshow", (event) => event.persisted && look());
  timer = setTimeout(look, 1000);
})();
