// A beacon of as112d: asks for a name that nobody else asks for, so that the node sees which resolver works for
// this client, and measures a few points of presence. One view of a page in SAMPLE_EVERY sends one. Nothing is
// stored in the browser.
(() => {
  "use strict";
  if (Math.random() * SAMPLE_EVERY >= 1 || !document.currentScript) return;
  const origin = new URL(document.currentScript.src).origin;
  const quiet = { mode: "no-cors", cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer" };
  // The first request opens the connection; the second takes one round trip on it.
  const measure = async (url) => {
    await fetch(url, quiet);
    const began = performance.now();
    await fetch(url, quiet);
    return Math.round(performance.now() - began);
  };
  const send = async () => {
    const asked = { cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer" };
    const ticket = await (await fetch(origin + "/beacon/ticket", asked)).json();
    const times = {};
    for (const [pop, url] of Object.entries(ticket.targets)) {
      try {
        times[pop] = await measure(url);
      } catch {
        // This one cannot be reached from here.
      }
    }
    await fetch(ticket.hit, { ...quiet, method: "POST", body: JSON.stringify(times), keepalive: true });
  };
  const later = () => setTimeout(() => send().catch(() => {}), 1000);
  if (document.readyState === "complete") later();
  else addEventListener("load", later);
})();
