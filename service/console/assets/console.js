// What a browser adds to pages that work without it: news, keys, and an export's progress.
"use strict";
(() => {
  const body = document.body;

  // News: the parts that htmx replaces keep what was opened, and wait while somebody is in them.
  const opened = new Map();
  let isStale = false;
  const parts = () => (body.getAttribute("hx-select-oob") || "").split(",").filter(Boolean);
  const isBusy = () => document.hidden || parts().some((id) => {
    const part = document.querySelector(id);
    const selection = document.getSelection();
    const isTyped = (field) => field.value !== field.defaultValue;
    return part && (part.contains(document.activeElement)
      || (!selection.isCollapsed && part.contains(selection.anchorNode))
      || [...part.querySelectorAll("input, textarea")].some(isTyped));
  });
  const refresh = () => {
    if (!isStale || isBusy()) return;
    isStale = false;
    window.htmx.trigger(body, "news");
  };
  const listen = () => {
    const source = new EventSource(body.dataset.live);
    source.addEventListener("news", () => { isStale = true; refresh(); });
    source.addEventListener("over", () => { source.close(); window.location.reload(); });
    document.addEventListener("visibilitychange", refresh);
    document.addEventListener("focusout", () => setTimeout(refresh, 0));
    window.addEventListener("pagehide", () => source.close());
    document.addEventListener("htmx:oobBeforeSwap", (event) => {
      for (const one of event.detail.target.querySelectorAll("details[id]")) opened.set(one.id, one.open);
    });
    // Figures that are still being counted: ask again, also where nothing else happens.
    const askAgain = () => {
      if (document.querySelector("[data-again]")) setTimeout(() => { isStale = true; refresh(); }, 2000);
    };
    askAgain();
    document.addEventListener("htmx:afterSettle", askAgain);
    document.addEventListener("htmx:oobAfterSwap", () => {
      for (const [id, isOpen] of opened) {
        const one = document.getElementById(id);
        if (one) one.open = isOpen;
      }
    });
  };
  if (body.dataset.live) listen();

  // Keys: never while somebody types, and never in place of the browser's own.
  const keys = document.getElementById("keys");
  const places = { o: "/console", i: "/console/invoices", s: "/console/subscriptions", f: "/console/feed", v: "/console/vipps" };
  let isGoing = false;
  const step = (by) => {
    const rows = [...document.querySelectorAll("[data-row]")];
    const at = rows.indexOf(document.activeElement);
    const next = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + by, 0), rows.length - 1)];
    if (next) { next.focus(); next.scrollIntoView({ block: "nearest" }); }
  };
  const search = () => {
    const field = document.getElementById("q");
    if (field) { field.focus(); field.select(); } else { window.location.assign("/console/invoices#q"); }
  };
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest("input, select, textarea, dialog[open]");
    if (!keys || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    const place = isGoing && places[event.key];
    isGoing = event.key === "g";
    const act = {
      "/": search, "j": () => step(1), "k": () => step(-1), "?": () => keys.showModal(),
    }[event.key];
    if (place) { window.location.assign(place); } else if (act) { event.preventDefault(); act(); }
  });
  if (window.location.hash === "#q") search();

  // Export: the file comes in one stream; as it comes, it is told how far it is.
  const exported = async (link, meter) => {
    const answer = await fetch(link.href);
    if (!answer.ok) throw new Error(String(answer.status));
    const rows = Number(answer.headers.get("x-rows")) || 1;
    const kept = [], reader = answer.body.getReader();
    let seen = 0;
    meter.max = rows;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      kept.push(value);
      for (const byte of value) if (byte === 10) seen += 1;
      meter.value = Math.min(seen, rows);
      meter.textContent = `${seen} of ${rows}`;
      link.nextElementSibling.nextElementSibling.textContent = `${Math.min(seen, rows).toLocaleString("en")} of ${rows.toLocaleString("en")}`;
    }
    const saved = document.createElement("a");
    saved.href = URL.createObjectURL(new Blob(kept, { type: "text/csv" }));
    saved.download = link.getAttribute("download");
    saved.click();
    setTimeout(() => URL.revokeObjectURL(saved.href), 60000);
  };
  for (const link of document.querySelectorAll("a[data-export]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const meter = link.nextElementSibling, said = meter.nextElementSibling;
      meter.hidden = false;
      exported(link, meter)
        .then(() => { said.textContent += ", done"; })
        .catch(() => { said.textContent = "The export broke off. Try again."; })
        .finally(() => { meter.hidden = true; });
    });
  }
})();
