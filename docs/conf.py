"""Sphinx: `make docs` builds the pages of this folder into target/docs."""

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

project = "Regime Engine"
extensions = ["myst_parser"]
exclude_patterns = ["generate.py"]

# Headings get the same anchors as on a code host.
myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]
# Code hosts also typeset ```math blocks.
myst_fence_as_directive = ["math"]

# The SQL lexer does not know psql's \gx.
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
    """Write formulas as MathML: a browser shows it without a script or the network."""
    is_block = isinstance(node, nodes.math_block)
    mathml = tex2mathml(node.astext(), as_block=is_block)
    visitor.body.append(f'<div class="formula">{mathml}</div>' if is_block else mathml)
    raise nodes.SkipNode


def setup(app) -> None:
    app.add_html_math_renderer("mathml", (_math, None), (_math, None))
