"""What a person agrees to before code from elsewhere runs: by content, by a folder of one's own, by what it may do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.evaluation.bubblewrap import LANDLOCK_VARIABLE, VARIABLE
from engine.journal.reader import JournalReader
from engine.runs.configure import choose_settings, own_layers, task_settings
from engine.runs.folder import Run
from engine.runs.presets import Preset
from engine.runs.reach import NO_SANDBOX, TRUSTED_EVALUATOR
from engine.runs.review import Review, agree_to_change, review_run, review_task
from engine.state.fold import first_state
from engine.task.load import builtin_tasks, load_task
from engine.task.scaffold import write_task
from engine.task.snapshot import read_copy
from tests.conftest import TaskMaker
from tests.e2e.runs import make_run
from tests.engine.formats.folders import OPENEVOLVE, write_folder

ENDPOINT = '\n[run.models.helper]\nmodel = "any"\nbase_url = "http://127.0.0.1:9/v1"\nkey_env = ""\n'


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A task folder that nobody has agreed to."""
    return write_task(tmp_path / "foreign")


def review(folder: Path) -> Review | None:
    task = load_task(folder)
    return review_task(task, task_settings(task), own_layers(()))


def asked(folder: Path) -> Review:
    found = review(folder)
    assert found is not None
    return found


def add(folder: Path, before: str = "", after: str = "") -> None:
    toml = folder / "task.toml"
    toml.write_text(before + toml.read_text() + after)


def test_agreement_holds_for_a_content_wherever_it_lies(foreign: Path, tmp_path: Path) -> None:
    assert "has never been run here" in asked(foreign).why
    asked(foreign).agree()
    assert review(foreign) is None
    copy = shutil.copytree(foreign, tmp_path / "copy")
    assert review(copy) is None
    (copy / "evaluate.py").write_text("raise SystemExit\n" + (copy / "evaluate.py").read_text())
    assert "has never been run here" in asked(copy).why
    (foreign / "helper.py").write_text("x = 1\n")
    assert "has other files than those you agreed to" in asked(foreign).why
    (foreign / "helper.py").unlink()
    (foreign / "priors" / "more.md").write_text("# More\n\nText.\n")
    assert review(foreign) is None, "candidates are confined whatever priors say"


def test_code_is_part_of_the_content_whatever_data_lie_beside_it(foreign: Path) -> None:
    for name, size in (("a.bin", (20 << 20) - 10), ("b.bin", 20 << 20)):
        with (foreign / name).open("wb") as file:
            file.truncate(size)
    copy = read_copy(foreign)
    assert set(copy.large_files) == {"a.bin", "b.bin"}
    assert "evaluate.py" in copy.files


def test_own_folder_is_edited_without_questions_until_it_may_do_more(foreign: Path, tmp_path: Path) -> None:
    asked(foreign).agree(own=True)
    (foreign / "evaluate.py").write_text("import math\n" + (foreign / "evaluate.py").read_text())
    assert review(foreign) is None
    (tmp_path / "papers").mkdir()
    add(foreign, 'mounts = ["../papers"]\n')
    found = asked(foreign)
    assert "may do more than you agreed to" in found.why
    assert found.new == {f"it reads {tmp_path / 'papers'}"}
    found.agree()
    (foreign / "brief.md").write_text("Another text.\n")
    assert review(foreign) is None, "it is still the person's own"


def test_another_folder_in_the_place_of_an_own_one_is_asked_about(foreign: Path, tmp_path: Path) -> None:
    asked(foreign).agree(own=True)
    foreign.rename(tmp_path / "before")
    shutil.copytree(tmp_path / "before", foreign)
    (foreign / "evaluate.py").write_text("import math\n" + (foreign / "evaluate.py").read_text())
    assert "other files" in asked(foreign).why


def test_everything_that_a_task_may_do_beyond_others_is_named(foreign: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret")
    (foreign / "notes.txt").symlink_to(tmp_path / "key")
    (foreign / "priors" / "far.md").symlink_to("/etc/hostname")
    embedder = '\n[run.retrieval]\nembedder = "endpoint"\nmodel = "e"\nbase_url = "http://127.0.0.1:7/v1"\n'
    add(foreign, 'python = "python3"\ngpu = true\nmounts = [".", "/usr/share"]\n', ENDPOINT + embedder)
    assert set(asked(foreign).reach) == {
        "its interpreter is python3",
        "it uses a GPU",
        f"it reads {tmp_path / 'key'}",
        "it reads /etc/hostname",
        "it reads /usr/share",
        "it sends prompts to http://127.0.0.1:9/v1",
        "it sends texts to compare to http://127.0.0.1:7/v1, with the key in OPENAI_API_KEY",
    }


def test_unconfined_evaluator_is_agreed_to_by_content_and_named_first(foreign: Path) -> None:
    asked(foreign).agree()
    add(foreign, 'evaluator = "trusted"\ngpu = true\n')
    found = asked(foreign)
    assert found.reach == (TRUSTED_EVALUATOR, "it uses a GPU")
    assert dict(found.facts)["evaluator"].startswith("UNCONFINED")
    assert dict(found.facts)["network"].startswith("OPEN")
    found.agree()
    (foreign / "evaluate.py").write_text("import math\n" + (foreign / "evaluate.py").read_text())
    assert asked(foreign).reach, "other code that would run unconfined is asked about"


def test_unconfined_evaluator_in_an_own_folder_is_agreed_to_by_content_unless_one_says_otherwise(foreign: Path) -> None:
    asked(foreign).agree(own=True)
    add(foreign, 'evaluator = "trusted"\n')
    asked(foreign).agree()
    assert review(foreign) is None
    (foreign / "evaluate.py").write_text("import math\n" + (foreign / "evaluate.py").read_text())
    found = asked(foreign)
    assert (found.new, found.may_be_own) == ({TRUSTED_EVALUATOR}, True)
    found.agree(own=True)
    (foreign / "evaluate.py").write_text("import os\n" + (foreign / "evaluate.py").read_text())
    assert review(foreign) is None


def test_endpoint_in_config_is_the_persons_own(foreign: Path, workspace: Path) -> None:
    add(foreign, after=ENDPOINT)
    assert asked(foreign).reach
    workspace.mkdir()
    (workspace / "config.toml").write_text(ENDPOINT.replace("run.", ""))
    assert not asked(foreign).reach


def test_link_out_of_the_folder_beside_an_endpoint_of_the_task_is_refused(foreign: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret")
    (foreign / "brief.md").unlink()
    (foreign / "brief.md").symlink_to(tmp_path / "key")
    add(foreign, after=ENDPOINT)
    with pytest.raises(UsageError, match=r"lets its programs read .*key and sends texts"):
        choose_settings(load_task(foreign), Preset(), [])


def test_task_cannot_send_a_key_to_its_embedder(foreign: Path) -> None:
    add(
        foreign,
        after='\n[run.retrieval]\nembedder = "endpoint"\nmodel = "e"\nbase_url = "https://example.org/v1"\n'
        'key_env = "AWS_SECRET"\n',
    )
    with pytest.raises(UsageError, match="retrieval would send the key in AWS_SECRET"):
        choose_settings(load_task(foreign), Preset(), [])


def test_machine_without_a_sandbox_is_a_reason_to_ask_again(foreign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked(foreign).agree()
    for variable in (VARIABLE, LANDLOCK_VARIABLE):
        monkeypatch.setenv(variable, "off")
    found = asked(foreign)
    assert NO_SANDBOX in found.reach
    assert dict(found.facts)["evaluator"].startswith("NOT CONFINED")
    found.agree()
    assert review(foreign) is None


def test_folder_of_another_system_is_asked_about_by_its_own_name(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "theirs", OPENEVOLVE)
    found = asked(folder)
    assert str(folder) in found.why
    found.agree(own=True)
    (folder / "helper.py").write_text("TARGET = 2.0\n")
    assert review(folder) is None


def test_built_in_tasks_are_trusted() -> None:
    assert [review(folder) for folder in builtin_tasks()] == [None] * len(builtin_tasks())


def test_run_goes_on_where_it_was_made_and_is_asked_about_elsewhere(
    make_task: TaskMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(make_task(), tmp_path / "runs", rounds=1)
    assert review_run(run) is None
    monkeypatch.setenv("EVOLVE_HOME", str(tmp_path / "elsewhere"))
    found = review_run(run)
    assert found is not None
    assert "was not made here" in found.why
    found.agree()
    moved = Run(shutil.copytree(run.folder, tmp_path / "moved"))
    assert review_run(moved) is None


def test_run_that_names_more_than_was_agreed_to_is_asked_about(make_task: TaskMaker, tmp_path: Path) -> None:
    """The same files are agreed to already: what else its journal says counts, too."""
    task = make_task()
    make_run(task, tmp_path / "runs", rounds=1)
    endpoint = {"model": "m", "base_url": "http://127.0.0.1:9/v1", "key_env": "OTHER"}
    elsewhere = tmp_path / "elsewhere"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVOLVE_HOME", str(elsewhere))
        run = make_run(task, tmp_path / "runs", rounds=1, models={"m": endpoint})
    found = review_run(run)
    assert found is not None
    assert "may do more" in found.why
    assert "it sends prompts to http://127.0.0.1:9/v1, with the key in OTHER" in found.new


def test_endpoint_that_a_person_sets_is_agreed_to(make_task: TaskMaker, tmp_path: Path) -> None:
    def change(port: int) -> dict[str, object]:
        return {"models": {"m": {"model": "m", "base_url": f"http://127.0.0.1:{port}/v1"}}}

    task = make_task()
    run = make_run(task, tmp_path / "runs", rounds=1)
    with JournalReader(run.db) as reader:
        agree_to_change(run, first_state(reader), change(7))
    assert review_run(make_run(task, tmp_path / "runs", **change(7))) is None  # its files are the same
