"""
How Sphinx builds these pages.
"""

import sys
from importlib import metadata
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER / "extensions"))

TWISTED = "https://docs.twisted.org/en/stable/api"

project = "upperproto"
author = "The upperproto developers"
copyright = author  # noqa: A001 # Sphinx calls it so.
version = release = metadata.version("upperproto")

extensions = ["apipages", "commandoptions", "sphinx.ext.extlinks"]
extlinks = {"twisted": (f"{TWISTED}/twisted.%s.html", "%s")}
exclude_patterns = ["_build"]
nitpicky = True
smartquotes = False
# One parameter a line where a signature is longer than a phone is wide.
python_maximum_signature_line_length = 60
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = "upperproto"
html_copy_source = False
html_show_sphinx = False
# api/internals has all modules.
html_domain_indices = False
html_static_path = ["_static"]
html_css_files = ["upper.css"]
templates_path = ["_templates"]

man_pages = [
    ("man/upper", "upper", "answer text in upper case", author, 1),
    ("man/upper-client", "upper-client", "ask an upper-case service", author, 1),
]
man_make_section_directory = True

# _templates/language.html links to the same page in the other language, as soon as
# there are catalogues. English is at the root of the site, Chinese in its folder zh.
locale_dirs = ["locale"]
gettext_compact = True
html_context = {"hasChinese": (FOLDER / "locale/zh_CN/LC_MESSAGES").exists()}
