// A page that tells its progress: htmx has looked at it before its extension for that was there.
document.querySelectorAll("[data-live]").forEach((part) => window.htmx.process(part));
