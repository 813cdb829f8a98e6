// What scrolls sideways can be reached by Tab, and so be scrolled by the arrow keys.
document.addEventListener("DOMContentLoaded", () => {
  const reach = () => {
    for (const box of document.querySelectorAll(".bd-article pre, .bd-article .output, .pst-scrollable-table-container, mjx-container[display='true']")) {
      if (box.scrollWidth > box.clientWidth && !box.hasAttribute("tabindex")) box.tabIndex = 0;
    }
  };
  reach();
  window.addEventListener("load", () => setTimeout(reach, 1000));
  window.addEventListener("resize", reach);
});

// Folded code is called by what stands on it, "Show" or "Hide", and not by another name.
document.addEventListener("DOMContentLoaded", () => {
  for (const fold of document.querySelectorAll("details.hide > summary[aria-label]")) fold.removeAttribute("aria-label");
});
