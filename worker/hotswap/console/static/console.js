// Makes the pages live: everything works without it, by loading the page again.
"use strict";

const zone = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

// Times in the reader's own zone.
function localize(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) time.textContent = zone.format(at);
  }
}

// What has the focus in a part of the page, to give it back after the part was replaced.
function focusedIn(place) {
  const active = document.activeElement;
  if (!active || active === place || !place.contains(active)) return -1;
  return [...place.querySelectorAll("a, button, input, select, textarea, summary, [tabindex]")].indexOf(active);
}

function replace(id, html) {
  const place = document.getElementById(id);
  if (!place) return;
  const focused = focusedIn(place);
  const scrolled = [...place.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
  const opened = new Set([...place.querySelectorAll("details[open]")].map((one) => one.dataset.key));
  place.innerHTML = html; // the server has escaped it, and the policy runs no script of a page
  localize(place);
  place.querySelectorAll(".scroll").forEach((one, at) => { one.scrollLeft = scrolled[at] || 0; });
  place.querySelectorAll("details").forEach((one) => { one.open = opened.has(one.dataset.key); });
  if (focused >= 0) {
    const all = place.querySelectorAll("a, button, input, select, textarea, summary, [tabindex]");
    if (all[focused]) all[focused].focus({ preventScroll: true });
  }
}

function follow(address) {
  const link = document.getElementById("link");
  const say = (tone, words) => {
    if (!link || link.dataset.words === words) return; // else a screen reader would repeat it
    link.dataset.words = words;
    link.replaceChildren(Object.assign(document.createElement("span"), { className: `dot ${tone}` }), words);
  };
  const source = new EventSource(address);
  source.onopen = () => say("good", "live");
  source.onerror = () => say("bad", "not live: trying again");
  source.onmessage = (event) => {
    for (const [id, html] of Object.entries(JSON.parse(event.data))) replace(id, html);
  };
  addEventListener("pagehide", () => source.close());
}

// A form is sent once, and says that it is being answered.
document.addEventListener("submit", (event) => {
  const button = event.submitter || event.target.querySelector("button");
  if (!button) return;
  if (button.getAttribute("aria-busy") === "true") { event.preventDefault(); return; }
  button.setAttribute("aria-busy", "true");
  button.dataset.words = button.textContent;
  button.textContent = button.dataset.busy || "Working…";
});
addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("button[aria-busy]")) {
    button.removeAttribute("aria-busy");
    button.textContent = button.dataset.words;
  }
});

localize(document);
if (document.body.dataset.live) follow(document.body.dataset.live);
