"use strict";
// Shows the tip of whatever mark is under the pointer, tapped, or focused with the keyboard.
const tip = document.getElementById("tip");

function place(mark) {
  const box = mark.getBoundingClientRect();
  const width = tip.offsetWidth;
  const room = document.documentElement.clientWidth;
  const left = Math.min(Math.max(box.left + box.width / 2 - width / 2, 8), room - width - 8);
  const above = box.top - tip.offsetHeight - 10;
  tip.style.left = `${left}px`;
  tip.style.top = `${above > 8 ? above : box.bottom + 10}px`;
}

function show(event) {
  const mark = event.target.closest("[data-tip]");
  tip.hidden = mark === null;
  if (mark !== null) {
    tip.textContent = mark.dataset.tip;
    place(mark);
  }
}

for (const name of ["pointerover", "pointerdown", "focusin"]) document.addEventListener(name, show);
for (const name of ["scroll", "focusout"]) addEventListener(name, () => { tip.hidden = true; });
