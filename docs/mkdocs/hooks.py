"""What mkdocs does to a page beyond its plugins: formulas become MathML, roles become code.

MathML is what browsers draw by themselves, so the site needs no script and no network for formulas.
"""

import html
import re

from latex2mathml.converter import convert

# What pymdownx.arithmatex makes of $...$ and of $$...$$.
_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', flags=re.DOTALL)
_DISPLAY = re.compile(r'<div class="arithmatex">\n?\\\[(.*?)\\\]\n?</div>', flags=re.DOTALL)
# Cross-references of docstrings are written for Sphinx: :class:`PoincareDistance`.
_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):(?=<code>)")
# A paragraph that introduces a literal block ends in two colons.
_LITERAL = re.compile(r"::</p>")
# A number and its interval stay on one line of a table.
_INTERVAL = re.compile(r"(?<=\d) ± (?=\d)")


def on_page_content(content, **_):
    """The page's HTML with formulas as MathML and without the remains of reStructuredText."""
    content = _INLINE.sub(lambda found: _mathml(found[1], "inline"), content)
    content = _DISPLAY.sub(lambda found: _mathml(found[1], "block"), content)
    content = _INTERVAL.sub("\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}", content)
    return _LITERAL.sub(":</p>", _ROLE.sub("", content))


def _mathml(formula, display):
    return convert(html.unescape(formula).strip(), display=display)
