// Live updates and nothing else: without this script every page works by reload.
(() => {
  "use strict";
  const main = document.querySelector("main[data-news]");
  if (!main || !window.EventSource) return;
  let shown = main.dataset.version;
  let isLooking = false;
  let isStale = false;

  // Only the parts marked so are exchanged, and only if they differ: what the customer
  // is about to tap must not move, and a web view must not load again.
  function take(fresh) {
    document.title = fresh.title;
    for (const part of document.querySelectorAll("[data-live]")) {
      const other = fresh.getElementById(part.id);
      if (!other || part.innerHTML === other.innerHTML) continue;
      const focused = part.contains(document.activeElement) && document.activeElement.id;
      const known = new Set([...part.querySelectorAll("[id]")].map((element) => element.id));
      part.replaceChildren(...other.childNodes);
      for (const element of part.querySelectorAll(".banner, .card")) {
        if (!known.has(element.id)) element.classList.add("arrived");
      }
      if (focused) document.getElementById(focused)?.focus();
    }
  }

  async function look() {
    isStale = true;
    if (isLooking) return;
    isLooking = true;
    try {
      while (isStale) {
        isStale = false;
        const answer = await fetch(location.href, { cache: "no-store" });
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        shown = fresh.querySelector("main[data-version]")?.dataset.version ?? shown;
        take(fresh);
      }
    } catch {
      // The server is away; it tells the version anew once it is back.
    } finally {
      isLooking = false;
    }
  }

  let news;
  const listen = () => {
    news = new EventSource(main.dataset.news);
    news.onmessage = (event) => event.data === shown || look();
  };
  // A page that nobody looks at holds no connection: browsers allow six to a server.
  addEventListener("pagehide", () => news?.close());
  addEventListener("pageshow", listen);
})();
