"""The form of a document, made from its schema; what it cannot say is said in pieces of YAML, or in the text."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from mftgit.adapters.http_server.doors import Pool
from mftgit.controller.web.documents import MAX_BODY_BYTES, loaded
from mftgit.controller.web.doors import AnyDoor, Asked, GoTo, Page, PageDoor, not_found
from mftgit.controller.web.editing import counted, edit_url, editor_page, not_kept
from mftgit.controller.web.parts import WebParts
from mftgit.controller.web.served import served
from mftgit.errors import ConfigError
from mftgit.model.access import OperatorRole
from mftgit.model.documents.document import Document, Kind, parse_document
from mftgit.model.documents.places import kind_of
from mftgit.model.documents.problem import Problem
from mftgit.model.documents.schema_form import FormError, FormField, SchemaForm
from mftgit.model.documents.yaml_edit import edit_document
from mftgit.model.printable import printable
from mftgit.model.revisions.draft import Draft, overlay, text_of
from mftgit.resources import load_schema

_FIELD: Final = "field"
_LOST: Final = (
    "A comment of this document would be lost or end up in another place. "
    "Look at the text that comes of the form, mend it, and keep it here."
)


def doors(parts: WebParts) -> Sequence[AnyDoor]:
    """Return the form, and where it is sent."""
    forms: dict[Kind, SchemaForm] = {
        kind: SchemaForm(load_schema(kind.value)) for kind in Kind if kind is not Kind.SECRET
    }
    return [
        PageDoor(
            path="/edit/form",
            role=OperatorRole.PROPOSE,
            handle=lambda asked: _form(parts, forms, asked),
        ),
        PageDoor(
            method="POST",
            path="/edit/form",
            role=OperatorRole.PROPOSE,
            max_body_bytes=MAX_BODY_BYTES,
            handle=lambda asked: _sent(parts, forms, asked),
            pool=Pool.COMPARE,
        ),
    ]


def _form(parts: WebParts, forms: Mapping[Kind, SchemaForm], asked: Asked) -> Page | GoTo:
    path = asked.asked("path")
    _, text = _text(parts, asked, path)
    form, document = forms.get(_kind(path)), parse_document(path, text.encode())
    if form is None or not isinstance(document, Document):
        return GoTo(path=edit_url(path), said="This document can be edited as text only.")
    return _page(path, form.fields(document.value))


def _sent(parts: WebParts, forms: Mapping[Kind, SchemaForm], asked: Asked) -> Page | GoTo:
    path, does, who = asked.text("path"), asked.text("do"), asked.who.name
    draft, text = _text(parts, asked, path)
    form, document = forms.get(_kind(path)), parse_document(path, text.encode())
    if form is None or not isinstance(document, Document):
        return GoTo(path=edit_url(path), said="This document can be edited as text only.")
    said = {
        name.removeprefix(_FIELD): next(iter(texts), "")
        for name, texts in asked.form.items()
        if name.startswith(f"{_FIELD}/")
    }
    try:
        value = form.filled(document.value, said)
    except FormError as error:
        wrong = {error.pointer: [str(error)]}
        fields, refused = form.fields(document.value), not_kept(1) if does == "keep" else ""
        return _page(path, fields, said=said, here=wrong, refused=refused, status=422)
    edited = edit_document(text, value, json_syntax=path.endswith(".json"))
    problems = served(
        lambda: parts.editing.validate(draft.base, {**draft.files, path: edited.text.encode()})
    )
    if does == "text" or edited.lost:
        refused = _LOST if edited.lost else ""
        return editor_page(draft, path=path, text=edited.text, problems=problems, refused=refused)
    if problems or does == "check":
        return _page(
            path,
            form.fields(value),
            problems=problems,
            refused=not_kept(len(problems)) if does == "keep" else "",
            is_checked=not problems,
            status=422 if problems else 200,
        )
    try:
        parts.editing.change(who, path, edited.text)
    except ConfigError as error:
        return _page(path, form.fields(value), refused=printable(str(error)), status=400)
    return GoTo(
        path="/edit", said=f"{printable(path)} is kept in your draft. Propose it when all is done."
    )


def _text(parts: WebParts, asked: Asked, path: str) -> tuple[Draft, str]:
    draft = served(lambda: parts.editing.begun(asked.who.name), missing=404)
    entry = overlay(parts.editing.files(draft.base), draft.files).get(path)
    text = text_of(loaded(entry)) if entry else None
    if text is None:
        raise not_found(f"document {printable(path)[:200]} in what you edit")
    return draft, text


def _kind(path: str) -> Kind:
    return kind_of(path) or Kind.SECRET


def _page(
    path: str,
    fields: Sequence[FormField],
    *,
    said: Mapping[str, str] | None = None,
    here: Mapping[str, list[str]] | None = None,
    problems: Sequence[Problem] = (),
    refused: str = "",
    is_checked: bool = False,
    status: int = 200,
) -> Page:
    names = set(_names(fields))
    at: dict[str, list[str]] = {pointer: list(each) for pointer, each in (here or {}).items()}
    elsewhere = []
    for problem in problems:
        if problem.file == path and problem.pointer in names:
            words = "; ".join(filter(None, (problem.message, problem.hint)))
            at.setdefault(problem.pointer, []).append(words)
        else:
            elsewhere.append(problem.as_json())
    typed = {name: text.replace("\r\n", "\n") for name, text in (said or {}).items()}
    told = at.keys() | {name for name, text in typed.items() if text}
    values: dict[str, Any] = {
        "document": path,
        "fields": fields,
        "opened": {name for each in fields for name in _opened(each, told)},
        "typed": typed,
        "here": at,
        "elsewhere": elsewhere,
        "refused": refused,
        "is_checked": is_checked,
        "told": "" if refused else _told(sum(map(len, at.values())) + len(elsewhere), is_checked),
    }
    return Page(template="edit-form.html", title=printable(path), values=values, status=status)


def _told(problems: int, is_checked: bool) -> str:  # noqa: FBT001
    if is_checked:
        return "No problem was found."
    return f"{counted(problems)}." if problems else ""


def _names(fields: Sequence[FormField]) -> list[str]:
    return [name for each in fields for name in (each.pointer, *_names(each.parts))]


def _opened(field: FormField, told: AbstractSet[str]) -> Iterator[str]:
    """Give what of ``field`` is open from the start: what is needed or filled, or has something ``told`` in it."""
    if field.required or field.is_filled or not told.isdisjoint(_names([field])):
        yield field.pointer
    for part in field.parts:
        yield from _opened(part, told)
