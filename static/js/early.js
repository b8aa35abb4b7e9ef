// The keys that are pressed while the page is still being loaded: keys.js takes them up. No module, so that it runs first.
window.early = {
  keys: [],
  keep(event) {
    if ((event.ctrlKey || event.metaKey) && event.code === "KeyK") event.preventDefault(); // the browser's own search
    window.early.keys.push(event);
  },
};
document.addEventListener("keydown", window.early.keep);
