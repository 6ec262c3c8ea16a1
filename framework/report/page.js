"use strict";
// Pictures of one kind become a film with a slider; without this script they stand side by side.
for (const film of document.querySelectorAll(".film")) {
  const frames = film.querySelectorAll("figure");
  if (frames.length < 2) continue;
  const slider = document.createElement("input");
  slider.type = "range";
  slider.max = slider.value = frames.length - 1;
  slider.setAttribute("aria-label", `Training step of the pictures "${film.dataset.name}"`);
  const show = () => frames.forEach((frame, index) => frame.classList.toggle("now", index === Number(slider.value)));
  slider.addEventListener("input", show);
  film.append(slider);
  film.classList.add("ready");
  show();
}
if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
  for (const video of document.querySelectorAll("video")) {
    video.pause();
    video.controls = true;
  }
}
