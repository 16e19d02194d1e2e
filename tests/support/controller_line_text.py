"""The section ``controller`` of cluster.yaml, as a person writes it."""

from textwrap import indent


def section(url: str | None = None, ca: str | None = None, *, name: str = "c") -> str:
    """A whole cluster.yaml; what is None is left out."""
    text = f"name: {name}\n"
    if url is not None or ca is not None:
        text += "controller:\n"
    if url is not None:
        text += f'  url: "{url}"\n'
    if ca is not None:
        text += "  ca: |\n" + indent(ca, "    ")
    return text
