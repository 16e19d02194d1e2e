"""Editing: documents as text, checked by the rules while somebody types, and proposed together.

Nothing is published here. What is in ``secrets/`` is shown as it lies in the repository, encrypted.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

from mftgit.adapters.git.objects import StoreError
from mftgit.adapters.http_server.doors import NotServedError, Pool
from mftgit.controller.gate.proposals import ProposalRefusedError
from mftgit.controller.web.documents import MAX_BODY_BYTES, loaded
from mftgit.controller.web.doors import AnyDoor, Asked, GoTo, Page, PageDoor, not_found
from mftgit.controller.web.parts import WebParts
from mftgit.controller.web.served import served
from mftgit.errors import ConfigError
from mftgit.model.access import OperatorRole
from mftgit.model.documents.document import Kind
from mftgit.model.documents.places import CLUSTER_FILE, FOLDERS, kind_of
from mftgit.model.documents.problem import Problem
from mftgit.model.names import CHANGES, MAIN, Revision, is_name
from mftgit.model.printable import printable
from mftgit.model.revisions.draft import Draft, check_path, overlay, text_of
from mftgit.model.revisions.proposal import free_name
from mftgit.model.rules.tree import Tree

_PROPOSE: Final = OperatorRole.PROPOSE
_NEW: Final = [folder for folder in FOLDERS if folder != "secrets"]
"""Secrets are encrypted before they come here: mftgit secret set."""


def doors(parts: WebParts) -> Sequence[AnyDoor]:
    """Return the pages of the editor; its calls are in `documents`."""
    return [
        PageDoor(
            path="/edit",
            role=_PROPOSE,
            handle=lambda asked: _begin_page(parts, asked),
            pool=Pool.COMPARE,
        ),
        PageDoor(path="/edit/document", role=_PROPOSE, handle=lambda asked: _editor(parts, asked)),
        *(
            PageDoor(
                method="POST",
                path=path,
                role=_PROPOSE,
                max_body_bytes=MAX_BODY_BYTES,
                handle=lambda asked, handle=handle: handle(parts, asked),  # type: ignore[misc]
                pool=Pool.COMPARE,
            )
            for path, handle in (
                ("/edit/document", _edited),
                ("/edit/new", _new),
                ("/edit/begin", _begin),
                ("/edit/propose", _propose_draft),
                ("/edit/discard", _discard),
                ("/edit/bring-up", _bring_up),
            )
        ),
    ]


def _begin_page(parts: WebParts, asked: Asked) -> Page | GoTo:
    """Return the page to begin with; a draft of which the base is gone for good leads nowhere."""
    try:
        return _overview(parts, asked)
    except StoreError:
        if parts.editing.draft(asked.who.name) is None:
            raise
        parts.editing.drop(asked.who.name)
        return GoTo(
            path="/edit", said="What you edited is gone from the repository, and so is your draft."
        )


def _overview(parts: WebParts, asked: Asked, *, refused: str = "", status: int = 200) -> Page:
    draft = served(lambda: parts.editing.begun(asked.who.name), missing=404)
    tree = overlay(parts.editing.files(draft.base), draft.files)
    names = {ref.removeprefix(CHANGES) for ref in parts.store.names(CHANGES)}
    newest = _newest(parts, draft)
    values = {
        "draft": draft,
        "changes": _changes(parts, draft),
        "folders": _folders(tree),
        "kinds": _NEW,
        "newest": newest,
        "moved": newest != draft.base,
        "name": asked.text("name") or draft.proposal or free_name(f"{asked.who.name}-1", names),
        "message": asked.text("message"),
        "refused": refused,
        "problems": _problems(parts, draft) if draft.files else [],
    }
    return Page(template="edit.html", title="Edit", values=values, status=status)


def _newest(parts: WebParts, draft: Draft) -> Revision | None:
    """Return where a draft would have to go on from now: None where its proposal is gone."""
    ref = MAIN if draft.proposal is None else CHANGES + draft.proposal
    return parts.store.head(ref)


def _changes(parts: WebParts, draft: Draft) -> list[dict[str, Any]]:
    before = parts.editing.files(draft.base)
    return [
        {
            "path": path,
            "action": "removed" if content is None else "changed" if path in before else "added",
        }
        for path, content in sorted(draft.files.items())
    ]


def _folders(tree: Tree) -> list[tuple[str, list[str]]]:
    """Return the files by folder, the cluster's own document first."""
    folders: dict[str, list[str]] = {"": []}
    for path in sorted(tree):
        folders.setdefault(path.rpartition("/")[0], []).append(path)
    folders[""].sort(key=lambda path: path != CLUSTER_FILE)
    return list(folders.items())


def _problems(parts: WebParts, draft: Draft) -> list[Mapping[str, Any]]:
    problems = served(lambda: parts.editing.validate(draft.base, draft.files))
    return [each.as_json() for each in problems]


def _editor(parts: WebParts, asked: Asked) -> Page:
    path = asked.asked("path")
    draft = served(lambda: parts.editing.begun(asked.who.name), missing=404)
    entry = overlay(parts.editing.files(draft.base), draft.files).get(path)
    if entry is None:
        raise not_found(f"document {printable(path)[:200]} in what you edit")
    text = text_of(loaded(entry))
    if text is None:
        raise NotServedError(415, f"{printable(path)} is no text: change it in a clone")
    return editor_page(draft, path=path, text=text, is_new=False)


def editor_page(
    draft: Draft,
    *,
    path: str,
    text: str,
    is_new: bool = False,
    name: str | None = None,
    problems: Sequence[Problem] = (),
    refused: str = "",
    is_checked: bool = False,
    status: int = 200,
) -> Page:
    """Return the page on which the text of a document is edited."""
    here = [each.as_json() for each in problems if each.file == path]
    elsewhere = [each.as_json() for each in problems if each.file != path]
    values = {
        "document": path,
        "name": name or path,
        "text": text,
        "is_new": is_new,
        "base": draft.base,
        "here": here,
        "elsewhere": elsewhere,
        "refused": refused,
        "is_checked": is_checked,
        "is_secret": path.startswith("secrets/"),
        "has_form": not is_new and kind_of(path) not in {None, Kind.SECRET},
        "lines": text.count("\n") + 1,
    }
    title = f"New: {printable(path)}" if is_new else printable(path)
    return Page(template="edit-document.html", title=title, values=values, status=status)


def not_kept(problems: int) -> str:
    """Return the words for what was to be kept and has ``problems``."""
    return f"Not kept in your draft yet: {counted(problems)}, as told below."


def counted(problems: int) -> str:
    """Return how many ``problems`` there are, in words."""
    return f"{problems} problem{'' if problems == 1 else 's'}"


def _new(parts: WebParts, asked: Asked) -> Page | GoTo:
    folder, name = asked.text("folder"), asked.text("name").strip()
    draft = served(lambda: parts.editing.begun(asked.who.name), missing=404)
    if folder not in _NEW or not is_name(name):
        return _overview(
            parts,
            asked,
            refused=f"{printable(name)[:100]!r} is not a name: use lower-case letters, digits and hyphens",
            status=400,
        )
    path = f"{folder}/{name}.yaml"
    if path in overlay(parts.editing.files(draft.base), draft.files):
        return _overview(parts, asked, refused=f"{path} is there already: edit it", status=409)
    text = parts.editing.sample(FOLDERS[folder])
    if asked.text("do") == "form":
        served(lambda: parts.editing.change(asked.who.name, path, text))
        return GoTo(path=f"/edit/form?{urlencode({'path': path})}")
    return editor_page(draft, path=path, text=text, is_new=True)


def _edited(parts: WebParts, asked: Asked) -> Page | GoTo:
    """Take the text of the editor: look at it, keep it, keep it under another name, or remove the document."""
    path, name, text = asked.text("path"), asked.text("name").strip(), asked.text("text")
    does, who = asked.text("do"), asked.who.name
    try:
        if does == "remove":
            parts.editing.change(who, path, None)
            return GoTo(path="/edit", said=f"{printable(path)} is removed in your draft.")
        target = name or path
        draft = served(lambda: parts.editing.begun(who), missing=404)
        files = {**draft.files, **({path: None} if target != path else {}), target: text.encode()}
        problems = parts.editing.validate(draft.base, files)
        if does == "check" or (problems and does != "keep-anyway"):
            return editor_page(
                draft,
                path=path,
                name=target,
                text=text.replace("\r\n", "\n"),
                is_new=asked.text("is_new") == "yes",
                problems=problems,
                status=422 if problems else 200,
                refused=not_kept(len(problems)) if does != "check" else "",
                is_checked=not problems,
            )
        if target != path:
            _rename(parts, who, path, target)
        parts.editing.change(who, target, text)
    except (ConfigError, ValueError) as error:
        draft = parts.editing.begun(who)
        return editor_page(
            draft,
            path=path,
            name=name,
            text=text.replace("\r\n", "\n"),
            is_new=asked.text("is_new") == "yes",
            refused=printable(str(error)),
            status=400,
        )
    return GoTo(
        path="/edit",
        said=f"{printable(target)} is kept in your draft. Propose it when all is done.",
    )


def _rename(parts: WebParts, who: str, path: str, target: str) -> None:
    draft = parts.editing.begun(who)
    if target in overlay(parts.editing.files(draft.base), draft.files):
        raise ConfigError(f"{printable(target)} is there already: choose another name")
    check_path(target)
    parts.editing.change(who, path, None)


def _begin(parts: WebParts, asked: Asked) -> GoTo:
    """Begin a draft that goes on with a proposal."""
    name = asked.text("proposal")
    tip = served(lambda: parts.proposals.tip(name), missing=404)
    draft = parts.editing.draft(asked.who.name)
    if draft is not None and draft.files:
        return GoTo(
            path="/edit", said="You have a draft already: propose it or throw it away first."
        )
    parts.editing.keep(asked.who.name, Draft(base=tip, proposal=name))
    return GoTo(path="/edit")


def _propose_draft(parts: WebParts, asked: Asked) -> Page | GoTo:
    draft = parts.editing.draft(asked.who.name)
    if draft is None or not draft.files:
        return GoTo(path="/edit", said="There is nothing to propose: change a document first.")
    name = draft.proposal or asked.text("name").strip()
    try:
        parts.proposals.propose(name, draft.base, draft.files, asked.text("message"), asked.who)
    except (ProposalRefusedError, ConfigError) as error:
        return _overview(parts, asked, refused=printable(str(error), keep="\n"), status=422)
    parts.editing.drop(asked.who.name, draft)
    return GoTo(
        path=f"/proposals/{quote(name)}",
        said="Proposed. Nothing is published until it is merged.",
    )


def _discard(parts: WebParts, asked: Asked) -> GoTo:
    draft, path = parts.editing.draft(asked.who.name), asked.text("path")
    if draft is not None and path:
        files = {each: content for each, content in draft.files.items() if each != path}
        parts.editing.keep(
            asked.who.name, Draft(base=draft.base, proposal=draft.proposal, files=files)
        )
        return GoTo(path="/edit", said=f"{printable(path)} is as it was.")
    parts.editing.drop(asked.who.name)
    return GoTo(path="/edit", said="The draft is thrown away.")


def _bring_up(parts: WebParts, asked: Asked) -> Page | GoTo:
    draft = served(lambda: parts.editing.begun(asked.who.name), missing=404)
    newest = _newest(parts, draft)
    if newest is None:
        parts.editing.keep(asked.who.name, Draft(base=parts.history.tip(), files=draft.files))
        return GoTo(path="/edit", said="The proposal is gone: the draft is a new one on main now.")
    draft, merged = parts.editing.bring_up(draft, newest)
    if merged.conflicts:
        told = ", ".join(map(printable, merged.conflicts[:20]))
        refused = (
            f"the same lines were changed there and in your draft, in {told}: "
            "take your change of these back, and edit them anew"
        )
        return _overview(parts, asked, refused=refused, status=409)
    parts.editing.keep(asked.who.name, draft)
    return GoTo(path="/edit", said="Your draft is on top of the newest revision now.")


def edit_url(path: str) -> str:
    """Return where ``path`` is edited."""
    return f"/edit/document?{urlencode({'path': path})}"
