"""Sphinx configuration; `make docs` builds without network access."""

import sys
from importlib.metadata import version as _version
from pathlib import Path

# the theory chapter and the equations are made by modules beside this file
sys.path.insert(0, str(Path(__file__).parent))

project = "invdiff"
author = "The invdiff authors"
copyright = author
version = release = _version("invdiff")

extensions = [
    "chapter",
    "mathml",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.bibtex",
]
exclude_patterns = ["_build", "tutorials"]

_SECTIONS = ("operators", "samplers", "trust", "priors", "volumes", "interpolants", "graphs")
sphinx_gallery_conf = {
    "examples_dirs": "tutorials",
    "subsection_order": [f"tutorials/{name}" for name in _SECTIONS],
    "gallery_dirs": "gallery",
    "matplotlib_animations": True,
    "abort_on_example_error": True,
    "download_all_examples": False,
    "parallel": 2,
    "within_subsection_order": "FileNameSortKey",
    "show_signature": False,
}
# made anew by each build; its downloads are no documents
suppress_warnings = ["config.cache"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
# extras that are not needed to read their documentation
autodoc_mock_imports = ["astra", "triton"]
napoleon_numpy_docstring = False
# attributes are listed, not declared: dataclass fields are declared already
napoleon_use_ivar = True

# other projects' names: no inventory of theirs is reachable offline
nitpick_ignore_regex = [
    (
        "py:.*",
        r"(torch|nn|np|numpy|nx|networkx|rdkit|NDArray|scipy|sp|pydicom|nibabel|pydantic|abc)(\..*)?",
    ),
    ("py:.*", r"(typing|typing_extensions|collections|contextlib|os|pathlib|enum|datetime)\..*"),
    ("py:.*", r"(Tensor|Any|Array|Path|Iterator|Callable|Sequence|Mapping|Literal|Generator)"),
    ("py:.*", r"(int|float|bool|str|complex|tuple|list|dict|None|object|ABC|Protocol|optional)"),
    # what a signature names and no page holds: private bases, type variables, aliases
    (
        "py:.*",
        r"(.*\._\w+|.*\.Kind|Axes|Relation|Backend|Window|(.*\.)?MapPhase|Cloud|Figure|Lines|Scheme|dict\[str|CouplingState|StorageKind|Objective|AnyGraph|ProtocolName|Mol|IntArray|FloatArray|.*\.Network|.*\.Layer|.*\.Components)",
    ),
    ("py:.*", r"(ValueError|TypeError|AssertionError|RuntimeWarning|NamedTuple|Module|dtype)"),
]

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "invdiff"
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": False,
    "header_links_before_dropdown": 7,
}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
