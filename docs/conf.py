"""Sphinx: `make docs` builds the pages of this folder into target/docs."""

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

project = "Regime Engine"
extensions = ["myst_parser"]
exclude_patterns = ["generate.py"]

# The headings of a page have the anchors that a code host gives them.
myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]
# A code host typesets ```math too.
myst_fence_as_directive = ["math"]

# psql's \gx is not in the lexer's SQL.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_title = "Regime Engine"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_math_renderer = "mathml"


def _math(visitor, node: nodes.math | nodes.math_block) -> None:
    """MathML, which a browser typesets by itself: no script, no network."""
    is_block = isinstance(node, nodes.math_block)
    mathml = tex2mathml(node.astext(), as_block=is_block)
    visitor.body.append(f'<div class="formula">{mathml}</div>' if is_block else mathml)
    raise nodes.SkipNode


def setup(app) -> None:
    app.add_html_math_renderer("mathml", (_math, None), (_math, None))
