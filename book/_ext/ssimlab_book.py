"""What the book needs of Sphinx beyond its configuration."""

from sphinx.ext.napoleon import GoogleDocstring

import ssimlab


def drop_thebe(app, page, template, context, doctree):
    """Leave out Thebe's scripts.

    The theme adds them whether or not Thebe is used, twice, which is an error in the console of
    every page; and Thebe itself would be fetched from another host.
    """
    scripts = context.get("script_files", [])
    scripts[:] = [s for s in scripts if "thebe" not in f"{s} {getattr(s, 'attributes', '')}"]


def mend_citation_list(app, page, template, context, doctree):
    """Take back the claim that the bibliography is a list: its entries are no list items.

    Docutils writes a role that a screen reader then looks for in vain.
    """
    if "body" in context:
        context["body"] = context["body"].replace(
            '<div role="list" class="citation-list">', '<div class="citation-list">'
        )


def skip_tuple_fields(app, what, name, obj, skip, options):
    """Leave out the fields of named tuples, which have no docstring of their own."""
    return True if (obj.__doc__ or "").startswith("Alias for field number") else None


def find_public_name(app, env, node, contnode):
    """Lead a reference to ``ssimlab.name`` to the module that defines the name."""
    package, _, name = node.get("reftarget", "").rpartition(".")
    if node.get("refdomain") != "py" or package != "ssimlab" or name not in ssimlab.__all__:
        return None
    thing = getattr(ssimlab, name)
    home = f"{thing.__module__}.{thing.__qualname__}"
    domain, page = env.get_domain("py"), node["refdoc"]
    return domain.resolve_xref(env, page, app.builder, node["reftype"], home, node, contnode)


def read_constants_as_prose():
    """Keep Napoleon from taking what stands before the first colon for the type of a constant."""
    GoogleDocstring._consume_inline_attribute = lambda self: ("", self._consume_to_end())


def setup(app):
    read_constants_as_prose()
    app.connect("missing-reference", find_public_name)
    app.connect("autodoc-skip-member", skip_tuple_fields)
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("html-page-context", mend_citation_list)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
