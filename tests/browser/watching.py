"""What no page of ours does: seen as it happens, and looked for in the document as it stands."""

from playwright.sync_api import Page

# What was asked of the policy and refused, and whether a payload ran. Told to the page before its own scripts.
LISTEN = """
window.__forbidden = []
window.__xss = () => { window.__ran = true }
document.addEventListener('securitypolicyviolation', e => __forbidden.push(`${e.effectiveDirective} ${e.blockedURI}`))
"""
# `findings(document)`: elements, attributes and addresses that only someone's text can have brought in.
FINDINGS = r"""
window.__findings = page => {
  const strange = new Set(['iframe', 'frame', 'frameset', 'object', 'embed', 'applet', 'base', 'math', 'marquee',
    'portal', 'isindex', 'animate', 'set', 'foreignobject', 'style', 'picture', 'x', 'image'])
  const asks = ['src', 'srcset', 'poster', 'background', 'action', 'formaction', 'data', 'xlink:href']
  const runs = /^(javascript|vbscript|data):/i
  const found = []
  const read = value => { try { return new URL(value, 'http://home.example') } catch { return null } }
  const protocol = value => read(value)?.protocol ?? ''
  const foreign = value => (read(value)?.host ?? 'home.example') !== 'home.example'
  const bad = (node, name, value) => {
    if (/^on/.test(name) || /^(data-)?hx-on/.test(name)) return true
    if (/^(data-)?hx-/.test(name)) return /^\s*(js|javascript):|^\/xss|^\/\/evil|__xss/.test(value)
    if (name === 'style') return /url\(|^x$/.test(value)
    if (name === 'href' && node.localName !== 'a') return foreign(value)
    if (name === 'href') return runs.test(protocol(value))
    if (name === 'src' && node.localName === 'img' && /^data:image/.test(value)) return false
    return asks.includes(name) && (foreign(value) || runs.test(protocol(value)))
  }
  for (const node of page.querySelectorAll('*')) {
    const tag = node.localName.toLowerCase()
    if (tag === 'template') found.push(...__findings(node.content))
    if (strange.has(tag)) found.push(`<${tag}>`)
    if (tag === 'script' && !/^\/static\//.test(node.getAttribute('src') || '')) found.push('<script>')
    if (tag === 'link' && !/^\/static\//.test(node.getAttribute('href') || '')) found.push('<link>')
    if (tag === 'meta' && node.httpEquiv) found.push('<meta>')
    if (tag === 'img' && node.getAttribute('src') === 'x') found.push('<img src=x>')
    for (const { name, value } of node.attributes)
      if (bad(node, name.toLowerCase(), value)) found.push(`<${tag} ${name}=${value.slice(0, 60)}>`)
  }
  return found
}
"""


class Watch:
    """Follows one page through the school."""

    def __init__(self, page: Page, home: str) -> None:
        self.page, self.home = page, home
        self.seen: list[tuple[str, str]] = []
        page.set_default_timeout(60_000)  # the pages are the longest that there are
        page.add_init_script(LISTEN + FINDINGS)
        page.on("dialog", lambda dialog: (self.seen.append(("dialog", dialog.message)), dialog.dismiss()))
        page.on("request", lambda request: self._asked(request.url))
        page.on("pageerror", lambda error: self.seen.append(("error", str(error))))

    def _asked(self, url: str) -> None:
        if not url.startswith((self.home, "data:", "blob:")) or "/xss" in url:
            self.seen.append(("request", url))

    def look(self, path: str) -> str:
        """Opens it; what is noticed goes to `seen`. The words of the whole document, attributes included."""
        answer = self.page.goto(self.home + path)
        assert answer is not None
        if answer.status != 200:
            self.seen.append((str(answer.status), path))
        return self.look_again(path)

    def look_again(self, path: str) -> str:
        ran, forbidden, found, html = self.page.evaluate(
            "[window.__ran, window.__forbidden, __findings(document), document.documentElement.outerHTML]"
        )
        noticed = {"ran": [ran] if ran else [], "forbidden": forbidden, "found": found}
        self.seen += [(kind, f"{path}: {what}") for kind, all_ in noticed.items() for what in all_[:5]]
        if "62615533" in html:
            self.seen.append(("template", path))
        return str(html)
