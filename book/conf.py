"""Settings of Sphinx for one edition of the book; build.py puts its pages together and calls Sphinx with KDLIB_EDITION set."""

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from bigrams import ChineseBigrams
from catalogues import FRENCH_PAGES, GUIDE

language = os.environ["KDLIB_EDITION"]  # en, zh_CN or fr
TITLE = {"en": "Knowledge distillation for multilingual language models", "zh_CN": "多语言语言模型的知识蒸馏",
         "fr": "Distillation de connaissances pour les modèles de langue multilingues"}  # fmt: skip

project, author = TITLE[language], "The kdlib authors"
copyright = "The kdlib authors. Code: MIT; texts and data: CC BY 4.0"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "sphinx_design"]
extensions += ["sphinx.ext.viewcode"] if language == "en" else []
exclude_patterns = ["downloads/*"]  # the notebooks as they are, to download
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}
templates_path = [str(Path(__file__).parent / "_templates")]

nb_execution_mode = "off"  # the notebooks are committed with their outputs
nb_merge_streams = True
nb_ipywidgets_js: dict[str, Any] = {}  # widgets need a kernel; the explorers of the page need none
nb_render_image_options = {"class": "figure"}
myst_enable_extensions = ["amsmath", "attrs_block", "attrs_inline", "colon_fence", "dollarmath", "substitution"]
myst_heading_anchors = 3
myst_dmath_double_inline = True
to_english = {"url": "{{path}}"}  # a page that only the English edition has
myst_url_schemes: dict[str, Any] = {"http": None, "https": None, "mailto": None, "english": to_english}
suppress_warnings = ["myst.header"]  # a cell may begin with any level of heading

autodoc_default_options = {"members": True, "member-order": "bysource", "undoc-members": False}
autodoc_typehints = "signature"
napoleon_custom_sections = [("Source", "notes_style")]
default_role = "py:obj"

html_theme = "sphinx_book_theme"
html_title = TITLE[language]
html_favicon = str(Path(__file__).with_name("favicon.svg"))
html_static_path: list[str] = []
html_copy_source = False
html_show_sourcelink = False
html_last_updated_fmt = None
html_search_language = {"en": "en", "zh_CN": "zh", "fr": "fr"}[language]
up = "" if language == "en" else "../"  # from the root of this edition to the root of the site, where assets/ lies
mathjax_path = f"../{up}assets/vendor/tex-mml-chtml.js"
mathjax3_config = {"options": {"menuOptions": {"settings": {"assistiveMml": True}}}}
html_css_files = [f"../{up}assets/site.css", f"../{up}assets/explorers.css", f"../{up}assets/student.css"]
html_js_files = [f"../{up}assets/texts_{language}.js", *((f"../{up}assets/{name}.js", {"defer": "defer"}) for name in ("site", "explorers.classic"))]
html_context = {"default_mode": "auto"}
html_theme_options = {
    "article_header_end": ["languages.html", "article-header-buttons.html"],
    "navbar_persistent": [],
    "search_bar_text": {"en": "Search the book", "zh_CN": "搜索全书", "fr": "Chercher dans le livre"}[language],
    "show_navbar_depth": 1,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "use_source_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def editions(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Tell the template which other editions have this page."""
    here = [("English", "en", ""), ("中文", "zh_CN", "zh/"), ("Français", "fr", "fr/")]
    everywhere = not pagename.startswith("_modules/") and f"book/{pagename}" not in GUIDE  # sources and guide stand in the English edition alone
    context["editions"] = [(name, code.replace("_", "-"), None if code == language else
                            context["pathto"](f"{up}{folder}{pagename if everywhere and (code != 'fr' or pagename in FRENCH_PAGES) else 'index'}.html", 1))
                           for name, code, folder in here]  # fmt: skip


def setup(app: Any) -> None:
    """Register what Sphinx does not bring."""
    app.add_search_language(ChineseBigrams)
    app.connect("html-page-context", editions, priority=100)  # before the theme drops what is empty
