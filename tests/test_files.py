"""Outputs: whole or not at all, and in nobody else's place."""

import errno
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs
import pytest

from w261reg import files, placing, train
from w261reg.errors import InputError
from w261reg.files import filled, replace_file, replace_folder, reserved
from w261reg.report.figures import NAMES
from w261reg.results import FIGURES, FILES
from w261reg.workflows import predict_to

MODEL = json.dumps({"format_version": 1, "coefficients": [1.0], "feature_names": ["a"]})
Tree = dict[str, str]


def fill(folder: Path, word: str, *names: str) -> None:
    """Files of a result; `word` tells one from another."""
    for name in names or FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(MODEL + word if name == "model.json" else word)


def tree(folder: Path) -> Tree:
    """All below a folder, hidden and links, too."""
    return {
        str(path.relative_to(folder)): path.read_bytes().decode() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(params=["path", "file", "uri"])
def spell(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A path as it is given: as one, as file://, and as a URI of a file system elsewhere."""
    if request.param == "uri":
        real = pafs.FileSystem.from_uri

        class Remote(pafs.FileSystem):
            @staticmethod
            def from_uri(uri: str) -> Any:
                local, path = real(uri.replace("bucket://", "file://"))
                return pafs.SubTreeFileSystem("/", local), path

        monkeypatch.setattr(pafs, "FileSystem", Remote)
    start = {"path": "", "file": "file://", "uri": "bucket://"}[request.param]
    return lambda path: f"{start}{path}"


def test_names_of_a_result() -> None:
    assert FIGURES == NAMES


def test_our_files_are_replaced_and_others_stay(tmp_path: Path, spell: Any) -> None:
    out = tmp_path / "r"
    fill(out, "\n")
    others = {"thesis.md": "years", "figures/photo.png": "us", "predictions/part": "1", ".git": "x"}
    for name, text in others.items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text(text)
    with replace_folder(spell(out), overwrite=True) as partial:
        fill(partial, " ", "model.json", "report.html", "figures/convergence.png")
    found = tree(out)
    for name, text in others.items():
        assert found.pop(name) == text
    folders = ("figures", "predictions")
    assert {name: text for name, text in found.items() if name not in folders} == {
        "model.json": MODEL + " ", "report.html": " ", "figures/convergence.png": " ",
    }  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


@pytest.mark.parametrize(
    "held",
    [
        {"report.html": "my thesis", "thesis.tex": "years"},
        {"model.json": "{}"},
        {"model.json": '{"format_version": 3, "layers": []}', "weights.bin": "0"},
        {"model.json": MODEL[:-5], "report.html": ""},
        {"model.json": "[" * 5000},
        {"comparison.json": "{}", "notes": "n"},
        {"figures/convergence.png": "mine"},
    ],
)
def test_what_is_no_result_is_left_alone(tmp_path: Path, spell: Any, held: Tree) -> None:
    out = tmp_path / "r"
    for name, text in held.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text)
    before = tree(tmp_path)
    with (
        pytest.raises(InputError, match="does not hold a result"),
        reserved(spell(out), overwrite=True),
    ):
        pytest.fail("reserved")
    assert tree(tmp_path) == before


def test_names_of_ours_that_are_something_else(tmp_path: Path) -> None:
    for name, kind in (("metrics.json", "folder"), ("figures", "link"), ("report.html", "link"),
                       ("figures", "file")):  # fmt: skip
        out = tmp_path / f"{name}-{kind}"
        fill(out, "", "model.json")
        elsewhere = tmp_path / f"{name}-{kind}-there"
        elsewhere.mkdir()
        (elsewhere / "convergence.png").write_text("mine")
        if kind == "link":
            (out / name).symlink_to(elsewhere)
        elif kind == "folder":
            elsewhere.rename(out / name)
        else:
            (out / name).write_text("mine")
        before = tree(tmp_path)
        with pytest.raises(InputError, match=name), replace_folder(out, overwrite=True):
            pytest.fail("reserved")
        assert tree(tmp_path) == before


def make_folder(path: Path) -> None:
    path.mkdir()


def make_full_folder(path: Path) -> None:
    fill(path, "another's")


def make_file(path: Path) -> None:
    path.write_text("another's")


def make_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def make_link_to_folder(path: Path) -> None:
    """Of a result of another's, which is not to be replaced through it."""
    fill(path.parent / "theirs", "another's")
    path.symlink_to("theirs")


MAKERS = [make_folder, make_full_folder, make_file, make_dangling_link, make_link_to_folder]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("replace", [replace_folder, replace_file])
def test_what_comes_to_be_there_meanwhile_stays(
    tmp_path: Path, make: Callable[[Path], None], overwrite: bool, replace: Any
) -> None:
    out = tmp_path / "r"
    says = r"while this ran|exists already|is a f|does not hold"
    with pytest.raises(InputError, match=says), replace(out, overwrite) as partial:
        if partial.is_dir():
            fill(partial, "ours")
        else:
            partial.write_text("ours")
        make(out)
    assert out.is_symlink() or out.exists()
    assert not [text for text in tree(tmp_path).values() if "ours" in text]
    assert {path.name for path in tmp_path.iterdir()} <= {"r", "theirs"}


def test_a_remote_folder_that_comes_to_be_there_stays(tmp_path: Path, spell: Any) -> None:
    out = tmp_path / "r"
    with (
        pytest.raises(InputError, match=r"while this ran|exists already"),
        replace_folder(spell(out), False) as partial,
    ):
        fill(partial, "ours")
        fill(out, "another's")
    assert set(tree(out).values()) == {"another's", MODEL + "another's", ""}
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_a_result_that_another_run_replaced_stays(tmp_path: Path, spell: Any) -> None:
    """Also where there are no locks: it is not what the user saw when he asked for its end."""
    out = tmp_path / "r"
    fill(out, "\n")
    with (
        pytest.raises(InputError, match="has changed while this ran"),
        replace_folder(spell(out), True) as partial,
    ):
        fill(partial, "ours")
        fill(out, "\n\n")
    assert tree(out)["model.json"] == MODEL + "\n\n"
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_two_runs_of_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In whatever way it is spelt; a place beside it is free."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to("d")
    for overwrite in (False, True):
        if overwrite:
            fill(tmp_path / "d" / "new" / "r", "")
        with reserved("d/new/r", overwrite):
            for other in (tmp_path / "d" / "new" / "r", "./d/../d/new/r/", "link/new/r"):
                says = "is being written by another run"
                with pytest.raises(InputError, match=says), reserved(other, overwrite):
                    pytest.fail("both")
            with reserved("d/new/s", overwrite), reserved("d/new/r.csv", overwrite, folder=False):
                pass
    assert not list(tmp_path.rglob("*.lock"))
    with reserved("d/new/r", True):  # free again
        pass


def test_a_result_inside_of_another(tmp_path: Path) -> None:
    """Each is replaced by itself, also while the other is being written; and inside of a stranger's
    folder, nothing else is touched."""
    outer, inner = tmp_path / "r", tmp_path / "r" / "figures" / "r"
    fill(outer, "\n")
    with replace_folder(outer, True) as partial:
        fill(partial, " ")
        with replace_folder(inner, False) as within:
            fill(within, "\t")
    with replace_folder(inner, True) as within:
        fill(within, "\r")
        with replace_folder(outer, True) as partial:
            fill(partial, "\n\n", "model.json")
    assert tree(inner)["model.json"] == MODEL + "\r"
    own = {name: text for name, text in tree(outer).items() if not name.startswith("figures")}
    assert own == {"model.json": MODEL + "\n\n"}
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "report.html").write_text("theirs")
    with replace_folder(tmp_path / "s" / "r", False) as partial:
        fill(partial, "")
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["r", "report.html"]
    assert (tmp_path / "s" / "report.html").read_text() == "theirs"


def test_runs_at_once_are_never_mixed(tmp_path: Path) -> None:
    out = tmp_path / "r"
    won: list[str] = []

    def run(k: int) -> None:
        with suppress(InputError), replace_folder(out, overwrite=False) as partial:
            fill(partial, f" {k}")
            won.append(f" {k}")

    threads = [threading.Thread(target=run, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    texts = {text.removeprefix(MODEL) for text in tree(out).values() if text}
    assert len(texts) == 1
    assert texts <= set(won)
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_the_lock_of_a_killed_run_binds_nobody(tmp_path: Path) -> None:
    code = (
        "import os, sys; from w261reg.files import reserved\n"
        "with reserved(sys.argv[1], False): print(flush=True); os.kill(os.getpid(), 9)\n"
    )
    out = tmp_path / "r"
    subprocess.run([sys.executable, "-c", code, str(out)], check=False, capture_output=True)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]
    with replace_folder(out, False) as partial:
        fill(partial, "")
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


KILLED = """
import errno, os, sys
from pathlib import Path
from tests.test_files import fill
from w261reg import files
from w261reg.files import replace_folder

files.to_disk = lambda partial: None
real, moves = (os.link, os.unlink, os.replace, os.open), 0

def counted(call, *given, **more):
    global moves
    moves += 1
    if moves == at:
        os.kill(os.getpid(), 9)
    if call is real[0] and sys.argv[2] == "without":
        raise OSError(errno.EPERM, "no links")
    return call(*given, **more)

for at in range(1, 1000):
    out = Path(sys.argv[1], f"r{at}")
    fill(out, "\\n", *sys.argv[3].split(","))
    child = os.fork()
    if child == 0:
        with replace_folder(out, True) as partial:
            fill(partial, " ", *sys.argv[4].split(","))
            names = "link", "unlink", "replace"
            for name, call in zip(names, real):
                setattr(os, name, lambda *a, call=call, **k: counted(call, *a, **k))
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
print(at)
"""
SETS = {
    "few": "figures/convergence.png,report.html,model.json",
    "bare": "metrics.json,model.json",
}


@pytest.mark.parametrize(
    ("old", "new", "links"), [("few", "bare", "with"), ("bare", "few", "without")]
)
def test_a_run_that_is_killed_while_it_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, links: str
) -> None:
    """Before any call that changes something: the next run finds one result or the other, whole."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), links, SETS[old], SETS[new]],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    tries = int(done.stdout)
    monkeypatch.setattr(files, "to_disk", lambda partial: None)
    assert tries > 2 * len(SETS[old].split(",")) + len(SETS[new].split(","))
    whole, without = [0, 0], 0
    for at in range(1, tries):
        out = tmp_path / f"r{at}"
        without += not (out / "model.json").exists()
        with suppress(RuntimeError), replace_folder(out, True):
            raise RuntimeError
        found = {n: t for n, t in tree(out).items() if not n.startswith(".partial-") and t}
        want = [
            {n: MODEL + word if n == "model.json" else word for n in SETS[which].split(",")}
            for which, word in ((old, "\n"), (new, " "))
        ]
        assert found in want, at
        whole[want.index(found)] += 1
        with replace_folder(out, True) as partial:
            fill(partial, "\t", "model.json")
        assert (out / "model.json").read_text() == MODEL + "\t"
    assert whole[0] > without > len(SETS[new].split(","))
    assert whole[1] > 0


def test_links_are_followed(tmp_path: Path) -> None:
    fill(tmp_path / "2024", "\n")
    (tmp_path / "latest").symlink_to("2024")
    (tmp_path / "p.csv").write_text("old")
    (tmp_path / "latest.csv").symlink_to("p.csv")
    with replace_folder(tmp_path / "latest", True) as partial:
        fill(partial, " ")
    with replace_file(tmp_path / "latest.csv", True) as partial:
        partial.write_text("new")
    assert (tmp_path / "latest").is_symlink() and (tmp_path / "latest.csv").is_symlink()
    assert (tmp_path / "2024" / "model.json").read_text() == MODEL + " "
    assert (tmp_path / "p.csv").read_text() == "new"
    for link in ("latest", "latest.csv"):
        with pytest.raises(InputError, match="exists already"), reserved(tmp_path / link, False):
            pytest.fail("reserved")


def test_predictions_do_not_take_the_place_of_their_data(tmp_path: Path) -> None:
    data = tmp_path / "t.csv"
    data.write_text("a,y\n1,1\n2,2\n4,3\n")
    model = train([[1.0], [2.0], [4.0]], [1.0, 2.0, 3.0], loss="mse")
    (tmp_path / "link.csv").symlink_to("t.csv")
    os.link(data, tmp_path / "same.csv")
    before = tree(tmp_path)
    for out in ("t.csv", "./t.csv", "link.csv", "same.csv"):
        with pytest.raises(InputError, match="is the data"):
            predict_to(model, str(data), str(tmp_path / out), overwrite=True)
    assert tree(tmp_path) == before


def test_what_is_in_a_folder_that_is_made_for_it_goes_with_a_failure(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), replace_folder(tmp_path / "a" / "b" / "r", False) as partial:
        fill(partial, "")
        raise RuntimeError
    assert tree(tmp_path) == {}


# --- disks ----------------------------------------------------------------------------------------


@contextmanager
def small_files(most: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes: writing fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("there", [False, True])
def test_a_full_disk(tmp_path: Path, spell: Any, there: bool) -> None:
    out = tmp_path / "r"
    if there:
        fill(out, "\n")
    before = tree(tmp_path)
    with (
        small_files(1000),
        pytest.raises(InputError, match=r"^out \S+ cannot be written: \S"),
        replace_folder(spell(out), overwrite=there) as partial,
    ):
        fill(partial, "x" * 5000)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("failing", range(1, len(FILES) * 2 + 1))
def test_all_or_nothing_is_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """Whichever move of a file fails."""
    out = tmp_path / "r"
    fill(out, "\n")
    (out / "notes").write_text("mine")
    before = tree(out)
    moves = 0
    real = os.link

    def link(source: Any, target: Any, **more: Any) -> None:
        nonlocal moves
        moves += 1
        if moves == failing:
            raise OSError(errno.EIO, "Input/output error")
        real(source, target, **more)

    monkeypatch.setattr(placing.os, "link", link)
    with (
        pytest.raises(InputError, match="cannot be written: Input/output error"),
        replace_folder(out, overwrite=True) as partial,
    ):
        fill(partial, " ")
    assert tree(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOTSUP])
def test_a_file_system_without_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    def link(*_: Any, **__: Any) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(placing.os, "link", link)
    fill(tmp_path / "r", "\n")
    with replace_folder(tmp_path / "r", True) as partial:
        fill(partial, " ")
    assert tree(tmp_path / "r")["model.json"] == MODEL + " "
    with replace_file(tmp_path / "p", False) as partial:
        partial.write_text("whole")
    assert (tmp_path / "p").read_text() == "whole"
    says = r"while this ran|exists"
    with pytest.raises(InputError, match=says), replace_file(tmp_path / "q", False) as partial:
        partial.write_text("ours")
        (tmp_path / "q").write_text("another's")
    assert (tmp_path / "q").read_text() == "another's"


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", flock)
    with reserved(tmp_path / "r", False) as first, reserved(tmp_path / "r", False) as second:
        with filled(first) as partial:
            fill(partial, "first")
        with pytest.raises(InputError, match="exists already"), filled(second) as partial:
            fill(partial, "second")
    assert tree(tmp_path / "r")["report.html"] == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_takes_no_files(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match="cannot be written"), reserved(tmp_path / "r", False):
            pytest.fail("reserved")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("name", ["r" * 256, "a/" * 2500 + "r", "no\0thing"])
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot be written"), reserved(tmp_path / name, False):
        pytest.fail("reserved")


@pytest.mark.parametrize("name", ["r" * 255, "é" * 127, "🙂" * 63, "-r", "a b'\"$"])
def test_names_that_can_be(tmp_path: Path, name: str) -> None:
    with replace_folder(tmp_path / name, False) as partial:
        fill(partial, "")
    with replace_file(tmp_path / f"x{name[1:]}", False) as partial:
        partial.write_text("")
    assert {path.name for path in tmp_path.iterdir()} == {name, f"x{name[1:]}"}
