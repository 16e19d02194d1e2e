"""Programs that a transfer names are run before and after its runs and files, and are told what happened."""

import threading
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest
from outbound_site import CLOCK, LARGE, Crash, Owner, Site, site
from waiting import until

from mftgit.adapters.clock import Clock, SystemClock
from mftgit.adapters.command import CommandFailedError
from mftgit.adapters.endpoint.contract import EndpointRefusedError
from mftgit.errors import ConfigError
from mftgit.member.outbound.given.context import Memory, RunContext
from mftgit.member.outbound.given.programs import check_programs, programs
from mftgit.member.outbound.ownership.own import Ownership
from mftgit.member.outbound.runs.run import end_begun, run_once
from mftgit.member.outbound.runs.tally import RunOutcome
from mftgit.model.configuration.config import AfterSuccess
from mftgit.model.events.event import EventName
from mftgit.model.names import MemberName, Revision
from mftgit.model.transfers.commands import Command, Commands, When
from mftgit.model.transfers.run import RunState

TELL = 'env | grep ^MFTGIT_ | sort > "$0.told.$MFTGIT_DELIVERY_ID"'


@pytest.fixture
def there(tmp_path: Path) -> Site:
    for name in ("source", "target", "commands"):
        (tmp_path / name).mkdir()
    return site(tmp_path)


def program(there: Site, name: str, *lines: str) -> Path:
    path = there.root / "commands" / name
    path.write_text("\n".join(("#!/bin/sh", *lines, "")), encoding="utf-8")
    path.chmod(0o700)
    return path


def have(there: Site, **commands: Command) -> None:
    there.transfer = replace(there.transfer, commands=Commands(**commands))


def context(
    there: Site, ownership: Ownership | int, memory: Memory | None = None, *, clock: Clock = CLOCK
) -> RunContext:
    made = there.context(ownership, memory)
    runs = programs(
        there.transfer,
        folder=there.root / "commands",
        member=MemberName("m1"),
        revision=Revision("a" * 40),
        ownership=made.ownership,
        clock=clock,
    )
    return replace(made, run_program=runs)


def run(there: Site, ownership: Ownership | int = 1, memory: Memory | None = None) -> RunOutcome:
    return run_once(there.transfer, context(there, ownership, memory))


def told(path: Path) -> list[dict[str, str]]:
    """Return the variables of each call of a program that does `TELL`."""
    return [
        dict(line.split("=", 1) for line in each.read_text(encoding="utf-8").splitlines())
        for each in sorted(path.parent.glob(f"{path.name}.told.*"))
    ]


@pytest.mark.parametrize("content", [b"1", LARGE], ids=["small", "large"])
def test_each_delivered_file_is_told_to_its_program_once_its_source_is_gone(
    there: Site, content: bytes
) -> None:
    book = program(there, "book", f'test ! -e "{there.source}/$MFTGIT_PATH" || exit 9', TELL)
    have(there, after_file=Command(program="book"))
    there.put("a b;$(touch x)", content)
    there.put("c", content)
    assert run(there).outcome is RunState.SUCCEEDED
    calls = {each["MFTGIT_PATH"]: each for each in told(book)}
    assert set(calls) == {"a b;$(touch x)", "c"}
    delivered = {facts["path"]: facts for facts in there.happened(EventName.DELIVERY_SUCCEEDED)}
    for path, call in calls.items():
        facts = delivered[path]
        assert call["MFTGIT_DELIVERY_ID"] == facts["id"]
        assert call["MFTGIT_SHA256"] == facts["sha256"]
        assert call["MFTGIT_SIZE_BYTES"] == str(len(content))
        assert call["MFTGIT_DESTINATION"] == "there"
        assert (call["MFTGIT_WHEN"], call["MFTGIT_TRANSFER"]) == ("after_file", "t")


def test_a_program_that_fails_is_told_of_and_the_file_is_delivered_all_the_same(
    there: Site,
) -> None:
    program(there, "book", 'echo "ledger is locked"; exit 3')
    have(there, after_file=Command(program="book"))
    there.put("a", b"1")
    memory = there.memory()
    outcome = run(there, 1, memory)
    assert (outcome.outcome, outcome.files) == (RunState.PARTLY, 1)
    (failed,) = there.happened(EventName.COMMAND_FAILED)
    assert (failed["command"], failed["path"]) == ("after_file", "a")
    assert str(failed["error"]).endswith("ended with status 3: ledger is locked")
    assert there.records() == []
    assert memory.is_quiet(CLOCK.boottime())
    assert run(there, 1, memory).outcome is RunState.IDLE


def test_before_a_run_a_program_may_veto_it_and_what_was_begun_is_ended_all_the_same(
    there: Site,
) -> None:
    def crash(call: str) -> None:
        if call == "rename" and list(there.target.glob("begun")):
            raise Crash

    there.put("begun", LARGE)
    there.after = crash
    with pytest.raises(Crash):
        there.run(1)
    there.after = lambda _: None
    gate = program(there, "gate", "echo 'the books are closed' >&2; exit 1")
    have(there, before_run=Command(program="gate"))
    there.put("fresh", b"1")
    memory = there.memory()
    outcome = run(there, 2, memory)
    assert "the books are closed" in outcome.errors[0]
    assert there.left_at_source() == ["fresh"]
    assert there.delivered() == 1
    assert memory.is_put_off("", None, CLOCK.boottime())
    gate.write_text("#!/bin/sh\nexit 0\n", encoding="ascii")
    assert run(there, 2, memory).outcome is RunState.SUCCEEDED
    assert there.left_at_source() == []


def test_on_a_schedule_the_program_before_it_may_make_the_files(there: Site) -> None:
    there.transfer = site(there.root, watch=False).transfer
    program(there, "export", f"echo 1 > {there.source}/made", "echo >> $0.calls")
    have(there, before_run=Command(program="export"))
    assert run(there).files == 1
    again = run_once(there.transfer, context(there, 1), settled=True)
    assert again.outcome is RunState.IDLE
    calls = (there.root / "commands" / "export.calls").read_text(encoding="ascii")
    assert calls.count("\n") == 1  # what completes a run is no run of its own


def test_a_run_that_is_to_be_completed_is_not_told_as_one_that_found_nothing(
    tmp_path: Path,
) -> None:
    for name in ("source", "target"):
        (tmp_path / name).mkdir()
    there = site(tmp_path, watch=False, stable_s=60.0)
    there.put("fresh", b"1")
    ran: list[When] = []
    memory = there.memory()
    telling = replace(there.context(1, memory), run_program=lambda when, _facts: ran.append(when))
    assert run_once(there.transfer, telling).again_in_s == 60.0
    seen = memory.sightings
    memory.sightings = {path: replace(each, since=each.since - 60) for path, each in seen.items()}
    assert run_once(there.transfer, telling, settled=True).files == 1
    assert ran == [When.BEFORE_RUN, When.AFTER_FILE, When.AFTER_RUN]


def take_one_each(there: Site) -> None:
    there.transfer = replace(there.transfer, source=replace(there.transfer.source, at_most=1))


def run_part(there: Site, memory: Memory, *, settled: bool) -> RunOutcome:
    return run_once(there.transfer, context(there, 1, memory), settled=settled)


@pytest.mark.parametrize("watch", [True, False], ids=["watch", "schedule"])
def test_after_the_last_part_of_a_run_all_of_them_are_told_once(
    there: Site, *, watch: bool
) -> None:
    there.transfer = site(there.root, watch=watch).transfer
    program(there, "before", 'echo >> "$0.calls"')
    after = program(there, "after", 'echo >> "$0.calls"', TELL)
    have(there, before_run=Command(program="before"), after_run=Command(program="after"))
    take_one_each(there)
    for name in ("a", "b", "c"):
        there.put(name, b"12")
    (there.target / "b").write_bytes(b"is here")
    memory = there.memory()
    part = run_part(there, memory, settled=False)
    while part.again_in_s is not None:
        assert not told(after)
        part = run_part(there, memory, settled=True)
    (call,) = told(after)
    assert (call["MFTGIT_OUTCOME"], call["MFTGIT_FILES"]) == ("partly", "2")
    assert (call["MFTGIT_SIZE_BYTES"], call["MFTGIT_FAILED"]) == ("4", "1")
    assert call["MFTGIT_ERROR"].startswith("b: ")
    for name in ("before", "after"):
        calls = (there.root / "commands" / f"{name}.calls").read_text(encoding="ascii")
        assert calls.count("\n") == 1, name


def test_what_was_run_before_a_pause_is_told_before_the_next_run(there: Site) -> None:
    after = program(there, "after", 'echo "$MFTGIT_FILES" >> "$0.calls"')
    have(there, after_run=Command(program="after"))
    take_one_each(there)
    memory = there.memory()
    there.put("a", b"1")
    there.put("b", b"1")
    assert run_part(there, memory, settled=False).again_in_s == 0.0
    (there.source / "b").unlink()
    there.put("c", b"1")
    assert run_part(there, memory, settled=False).files == 1
    assert after.with_name("after.calls").read_text(encoding="ascii") == "1\n1\n"


def test_who_lost_the_transfer_tells_nothing_of_its_parts(there: Site) -> None:
    after = program(there, "after", TELL)
    have(there, after_run=Command(program="after"))
    take_one_each(there)
    memory = there.memory()
    there.put("a", b"1")
    there.put("b", b"1")
    run_part(there, memory, settled=False)
    run(there, 2)
    assert run_part(there, memory, settled=True).outcome is RunState.ENDED
    assert memory.so_far is None
    (call,) = told(after)
    assert call["MFTGIT_FILES"] == "1"


def test_a_veto_of_a_run_on_a_schedule_leaves_no_run_open(there: Site) -> None:
    there.transfer = site(there.root, watch=False).transfer
    program(there, "gate", "exit 1")
    have(there, before_run=Command(program="gate"))
    assert run(there).outcome is RunState.FAILED
    assert not list(there.state.glob("intents/*/open-run"))


def test_after_a_run_its_outcome_is_told(there: Site) -> None:
    after = program(there, "after", TELL)
    have(there, after_run=Command(program="after"))
    there.put("a", b"1")
    run(there)
    (call,) = told(after)
    assert (call["MFTGIT_OUTCOME"], call["MFTGIT_FILES"]) == ("succeeded", "1")
    assert (call["MFTGIT_FAILED"], call["MFTGIT_ERROR"]) == ("0", "")
    there.broken[there.transfer.source.location] = EndpointRefusedError("no entry")
    run(there)
    (call,) = told(after)
    assert call["MFTGIT_OUTCOME"] == "failed"
    assert call["MFTGIT_ERROR"].startswith("no entry (source here")


def test_a_run_whose_last_program_fails_was_partly_good(there: Site) -> None:
    program(there, "after", "exit 1")
    have(there, after_run=Command(program="after"))
    there.put("a", b"1")
    assert run(there).outcome is RunState.PARTLY
    (failed,) = there.happened(EventName.COMMAND_FAILED)
    assert failed["command"] == "after_run"


def test_after_each_failure_of_a_file_a_program_is_told_why(there: Site) -> None:
    tell = program(there, "tell", TELL)
    have(there, after_failure=Command(program="tell"))
    there.put("a", b"1")

    def refuse(call: str) -> None:
        if call == "write":
            raise EndpointRefusedError("no\0room")

    there.after = refuse
    run(there)
    (call,) = told(tell)
    assert (call["MFTGIT_PATH"], call["MFTGIT_ERROR"]) == ("a", "noroom")
    assert (call["MFTGIT_SIDE"], call["MFTGIT_TRY"]) == ("destination", "1")
    assert call["MFTGIT_RETRIED_AT"] > "2026"


def test_it_has_a_clean_environment_no_input_and_its_arguments_as_they_are(
    there: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "s3cret")
    look = program(
        there,
        "look",
        'env | cut -d= -f1 | grep -v ^MFTGIT_ | sort | xargs > "$0.env"',
        'cat > "$0.input"; pwd > "$0.folder"',
        'for each in "$@"; do echo "$each"; done > "$0.arguments"',
    )
    arguments = ("$HOME", "a b", "; rm -rf /", "-x")
    have(there, after_run=Command(program="look", arguments=arguments))
    run(there)

    def said(what: str) -> str:
        return look.with_name(f"look.{what}").read_text(encoding="utf-8")

    known = {"HOME", "LANG", "PATH", "PWD", "OLDPWD", "SHLVL", "_"}  # some of which a shell sets
    assert {"HOME", "LANG", "PATH"} <= set(said("env").split()) <= known
    assert (said("input"), said("folder")) == ("", "/\n")
    assert said("arguments").splitlines() == list(arguments)


def test_what_takes_too_long_is_killed_with_all_that_it_started(there: Site) -> None:
    hang = program(there, "hang", 'sleep 600 & echo $! > "$0.child"; echo late; sleep 600')
    have(there, after_run=Command(program="hang", timeout_s=0.5))
    child_is = hang.with_name("hang.child")

    class OnceItHangs(SystemClock):
        """Stands until the program has come that far."""

        def boottime(self) -> float:
            hangs = child_is.exists() and child_is.read_text(encoding="ascii").endswith("\n")
            return super().boottime() if hangs else 0.0

    outcome = run_once(there.transfer, context(there, 1, clock=OnceItHangs()))
    assert "did not end in time" in outcome.errors[0]
    child = int(child_is.read_text(encoding="ascii"))
    until(lambda: not alive(child))


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):  # the latter where it ends in the middle
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_endless_talk_is_bounded_and_does_not_hold_it_up(there: Site) -> None:
    program(there, "talk", "yes | head -c 3000000; echo the end; exit 1")
    have(there, after_run=Command(program="talk"))
    (error,) = run(there).errors
    assert error.endswith("the end")
    assert len(error) < 3000


def test_who_loses_the_transfer_ends_the_program_and_the_next_owner_runs_it_again(
    there: Site,
) -> None:
    book = program(
        there, "book", 'echo >> "$0.calls"; test -e "$0.go" || { touch "$0.began"; sleep 600; }'
    )
    have(there, after_file=Command(program="book"))
    there.put("a", b"1")
    owner = Owner(1)

    def lose() -> None:
        until(book.with_name("book.began").exists)
        owner.lose()

    thread = threading.Thread(target=lose)
    thread.start()
    outcome = run(there, owner)
    thread.join()
    assert outcome.outcome is RunState.ENDED
    assert there.happened(EventName.COMMAND_FAILED) == []
    book.with_name("book.go").touch()
    assert run(there, 2).outcome is RunState.SUCCEEDED
    assert book.with_name("book.calls").read_text(encoding="ascii").count("\n") == 2
    assert (there.delivered(), there.records()) == (1, [])
    assert run(there, 2).outcome is RunState.IDLE


def test_a_member_that_is_killed_while_a_program_runs_has_it_run_again_with_the_same_id(
    there: Site,
) -> None:
    book = program(
        there,
        "book",
        'echo "$MFTGIT_DELIVERY_ID" >> "$0.ids"',
        'test -e "$0.go" || { touch "$0.began"; sleep 600; }',
    )
    have(there, after_file=Command(program="book"))
    there.put("a", b"1")
    member = get_context("fork").Process(target=run, args=(there, 1))
    member.start()
    until(book.with_name("book.began").exists)
    member.kill()
    member.join()
    book.with_name("book.go").touch()
    outcome = run(there, 2)
    assert outcome.outcome is RunState.SUCCEEDED
    first, second = book.with_name("book.ids").read_text(encoding="ascii").split()
    assert first == second
    assert there.delivered() == 1


def test_a_kept_source_has_its_program_run_once(there: Site) -> None:
    there.transfer = replace(there.transfer, after_success=AfterSuccess.KEEP)
    book = program(there, "book", 'echo >> "$0.calls"')
    have(there, after_file=Command(program="book"))
    there.put("a", b"1")
    run(there)
    run(there)
    assert book.with_name("book.calls").read_text(encoding="ascii").count("\n") == 1


def test_a_program_that_is_missing_or_that_others_may_change_is_not_run(there: Site) -> None:
    have(there, before_run=Command(program="gate"))
    folder = there.root / "commands"
    with pytest.raises(ConfigError, match="administrator of this machine"):
        check_programs(there.transfer, folder=folder)
    path = program(there, "gate")
    check_programs(there.transfer, folder=folder)
    path.chmod(0o777)
    assert "others may change" in run(there).errors[0]


def test_a_transfer_without_commands_and_a_former_one_run_none(there: Site) -> None:
    made = context(there, 1)
    for when in When:
        made.run_program(when, {})
    former = programs(
        None,
        folder=there.root,
        member=MemberName("m"),
        revision=Revision("a" * 40),
        ownership=made.ownership,
        clock=CLOCK,
    )
    former(When.AFTER_RUN, {})
    assert end_begun(replace(made, run_program=former)).outcome is RunState.IDLE


def test_a_failure_of_a_program_is_of_a_kind_of_its_own(there: Site) -> None:
    program(there, "gate", "exit 75")
    have(there, before_run=Command(program="gate"))
    with pytest.raises(CommandFailedError, match="status 75"):
        context(there, 1).run_program(When.BEFORE_RUN, {})
