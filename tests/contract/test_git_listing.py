"""A folder that has changed is read, checked and watched by its changes, with the outcome of a look at all of it."""

from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path

import pytest
from dulwich.objects import ObjectID
from git_raw import Raw, blob, commit, oid, pack, tree
from git_site import NOW
from hypothesis import given, settings
from hypothesis import strategies as st

from mftgit.adapters.git.listing import Folder, Listed, Reading, difference, files_of, list_folder
from mftgit.adapters.git.objects import BrokenHistoryError, Sizes, TooLargeError, get_commit
from mftgit.adapters.git.store import GitStore
from mftgit.model.names import MAIN, Revision
from mftgit.model.revisions.limits import Limits
from mftgit.model.rules.tree import Tree

NOWHERE = "1" * 40
FILE, FOLDER = "100644", "40000"
PATHS = ("a", "b", "d/a", "d/b", "d/e/a", "f/a", "f/long-name", "z")
MANY = {f"folder/{number:04}": b"%d" % number for number in range(1_000)}

entries = st.lists(
    st.tuples(
        st.sampled_from([b"a", b"b", b"c", b"d"]),
        st.just(33188),
        st.sampled_from([ObjectID(b"x"), ObjectID(b"y")]),
    ),
    unique_by=lambda each: each[0],
)
revisions = st.lists(
    st.dictionaries(st.sampled_from(PATHS), st.sampled_from([b"0", b"1", b"2"]), min_size=1),
    min_size=1,
    max_size=6,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GitStore]:
    with GitStore.create(tmp_path / "store.git") as made:
        yield made


def add(store: GitStore, parent: Revision | None, files: Mapping[str, bytes]) -> Revision:
    return store.commit_documents(
        files, message="change", author="Ann <ann@example.org>", now=NOW, parent=parent
    )


def told(files: Tree) -> dict[str, tuple[int, str, int, bytes]]:
    return {path: (each.mode, each.oid, each.size_bytes, each.load()) for path, each in files.items()}  # fmt: skip


@given(entries, entries)
def test_what_two_listings_do_not_share_is_found(old: list[Listed], new: list[Listed]) -> None:
    gone, come = difference(old, new)
    assert set(gone) == set(old) - set(new)
    assert set(come) == set(new) - set(old)


@settings(max_examples=30)
@given(revisions)
def test_a_revision_has_the_same_files_whatever_was_read_before(
    tmp_path_factory: pytest.TempPathFactory, some: list[dict[str, bytes]]
) -> None:
    with GitStore.create(tmp_path_factory.mktemp("git") / "store.git") as store:
        tip: Revision | None = None
        for files in some:
            tip = add(store, tip, files)
            with GitStore(store.path) as fresh:
                assert told(store.tree(tip)) == told(fresh.tree(tip))
            assert {path: entry.load() for path, entry in store.tree(tip).items()} == files


def test_limits_hold_for_what_was_read_under_wider_ones(store: GitStore) -> None:
    files = {"long/" + "x" * 200: b"1", "a": b"1", "b/c/d": b"1"}
    tip = add(store, None, files)
    store.tree(tip)
    narrow = {
        "max_path_bytes": (100, "a path has 205 bytes"),
        "max_entries": (4, "at least 5"),
        "max_tree_depth": (1, "folders are 2 deep"),
    }
    with store.quarantine() as quarantine:
        for name, (most, found) in narrow.items():
            with pytest.raises(TooLargeError, match=found):
                quarantine.tree(tip, Limits(**{name: most}))
        assert quarantine.tree(tip, Limits()).keys() == files.keys()


def test_a_folder_with_more_entries_than_are_taken_is_not_looked_through(store: GitStore) -> None:
    tip = add(store, None, MANY)
    sizes = Sizes()
    with store.repo() as repo:
        reading = Reading(
            store=repo.object_store, sizes=sizes, load=lambda _oid: b"", limits=Limits(max_entries=999)
        )  # fmt: skip
        with pytest.raises(TooLargeError, match="at least 1,000"):
            reading.folders(tip)
        with pytest.raises(TooLargeError, match="at least 1,000"):
            reading.folders(tip, {"folder/": Folder()})


def test_what_a_push_adds_to_a_large_folder_is_all_that_is_read_of_it(store: GitStore) -> None:
    before = add(store, None, MANY)
    after = add(store, before, {**MANY, "folder/0500": b"new"})
    known, fresh = store.tree(before), store.tree(after)
    assert [path for path in fresh if fresh[path] is not known.get(path)] == ["folder/0500"]


# What a push brings beside what is here


def beside(store: GitStore, *entries: tuple[str, bytes, str], raw: bytes = b"") -> Raw:
    """Return the folder of main with some entries more, in the order of git as far as they are."""
    tip = store.head()
    assert tip is not None
    files = store.tree(tip)
    here = [(FILE, path.partition("/")[2].encode(), entry.oid) for path, entry in files.items()]
    kind, content = tree(*sorted([*here, *entries], key=lambda each: each[1]))
    return kind, content + raw


def fault(store: GitStore, folder: Raw, *more: Raw) -> str | None:
    """Return what is wrong with a push of main with another ``folder``; more objects come along."""
    tip = store.head()
    assert tip is not None
    root = tree((FOLDER, b"folder", oid(folder)))
    made = commit(oid(root), tip)
    with store.quarantine() as quarantine:
        quarantine.take(BytesIO(pack(folder, root, made, *more)), Limits())
        return quarantine.fault(Revision(oid(made)))


def bad(store: GitStore) -> dict[str, tuple[Raw, str]]:
    here = oid(blob(b"7"))
    return {
        "a file that is missing": (beside(store, (FILE, b"new", NOWHERE)), "is missing"),
        "a folder that is missing": (beside(store, (FOLDER, b"new", NOWHERE)), "is missing"),
        "a folder that is a file": (beside(store, (FOLDER, b"new", here)), "expected a tree"),
        "an unsafe name": (beside(store, (FILE, b".GIT", here)), "unsafe name"),
        "no name": (beside(store, (FILE, b"", here)), "malformed|unsafe"),
        "a name of two folders": (beside(store, (FILE, b"a/b", here)), "malformed"),
        "a mode that there is not": (beside(store, ("100600", b"new", here)), "malformed"),
        "a mode with a zero before it": (
            (b"tree", beside(store)[1].replace(b"100644 0500\0", b"0100644 0500\0")),
            "malformed",
        ),
        "a name that is there twice": (beside(store, (FILE, b"0500", here)), "malformed|twice"),
        "a name that is a file and a folder": (
            beside(store, (FOLDER, b"0500", oid(tree()))),
            "malformed|twice",
        ),
        "names out of order": (
            beside(store, raw=tree((FILE, b"0000-", here))[1]),
            "malformed",
        ),
        "half an entry": (beside(store, raw=b"100644 x\0abc"), "malformed"),
    }


@pytest.mark.parametrize("case", range(12))
def test_what_is_bad_beside_a_thousand_good_files_is_found(store: GitStore, case: int) -> None:
    add(store, None, MANY)
    name, (folder, expected) = list(bad(store).items())[case]
    try:
        found = fault(store, folder, tree())
    except Exception as error:  # noqa: BLE001  dulwich takes no such pack
        found = f"malformed: {error}"
    assert found is not None, name
    assert any(each in found for each in expected.split("|")), found


def test_a_good_file_beside_a_thousand_others_is_taken(store: GitStore) -> None:
    add(store, None, MANY)
    more = blob(b"more")
    assert fault(store, beside(store, (FILE, b"new", oid(more))), more) is None
    assert fault(store, beside(store, (FOLDER, b"new", oid(tree()))), tree()) is None


def test_two_fresh_folders_do_not_stand_for_each_other(store: GitStore) -> None:
    tip = add(store, None, MANY)
    missing = (FILE, b"lost", NOWHERE)
    one = beside(store, missing)
    other = beside(store, missing, (FILE, b"more", oid(blob(b"7"))))
    roots = [tree((FOLDER, b"folder", oid(each))) for each in (one, other)]
    first = commit(oid(roots[0]), tip)
    second = commit(oid(roots[1]), oid(first))
    third = commit(oid(roots[0]), oid(second))
    with store.quarantine() as quarantine:
        quarantine.take(BytesIO(pack(one, other, *roots, first, second, third)), Limits())
        assert f"blob {NOWHERE} is missing" in str(quarantine.fault(Revision(oid(third))))


# What a member sees of its store


def test_a_store_is_looked_at_anew_where_its_packs_were_touched(store: GitStore) -> None:
    tip = add(store, None, MANY)
    store.check(tip)
    before = set(packs(store))
    after = add(store, tip, {**MANY, "folder/0500": b"new"})
    store.check(after)
    (fresh,) = set(packs(store)) - before
    rewrite_without_files(store, fresh, after)
    with pytest.raises(BrokenHistoryError, match="is missing"):
        store.check(after)


def test_a_file_that_came_without_its_content_is_seen_beside_those_that_were_there(
    store: GitStore,
) -> None:
    tip = add(store, None, MANY)
    store.check(tip)
    before = set(packs(store))
    after = add(store, tip, {**MANY, "folder/0500": b"new"})
    (fresh,) = set(packs(store)) - before
    rewrite_without_files(store, fresh, after)
    with pytest.raises(BrokenHistoryError, match=f"blob {oid(blob(b'new'))} is missing"):
        store.check(after)


def packs(store: GitStore) -> list[Path]:
    return sorted((store.path / "objects/pack").glob("*.pack"))


def rewrite_without_files(store: GitStore, path: Path, tip: Revision) -> None:
    """Put a pack in the stead of ``path`` that has the commit and its folders, and no file."""
    with store.repo() as repo:
        made = get_commit(repo.object_store, ObjectID(tip.encode()))
        root = repo.object_store[made.tree]
        folders = [oid for _, _, oid in list_folder(repo.object_store, made.tree)]
        kept = [made, root, *(repo.object_store[each] for each in folders)]
    store.packs_replaced()
    for each in (path, path.with_suffix(".idx")):
        each.unlink()
    with store.repo() as repo:
        repo.object_store.add_objects([(each, None) for each in kept])
    store.packs_replaced()


def test_files_are_those_of_all_folders(store: GitStore) -> None:
    tip = add(store, None, {"a": b"1", "b/c": b"2"})
    with store.repo() as repo:
        reading = Reading(store=repo.object_store, sizes=Sizes(), load=lambda _oid: b"")
        folders = reading.folders(tip)
    assert {path: sorted(each.files) for path, each in folders.items()} == {"": ["a"], "b/": ["b/c"]}  # fmt: skip
    assert sorted(files_of(folders)) == ["a", "b/c"]
    assert store.head(MAIN) == tip
