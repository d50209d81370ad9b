"""The files around the package hold together: Makefile, conf/, jobs/ and the build."""

import ast
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROPERTY_FILES = sorted((ROOT / "conf").glob("*.conf"))
RUNS = sorted((ROOT / "conf" / "runs").glob("*.toml"))
JOBS = sorted((ROOT / "jobs").glob("*.py"))
SH = shutil.which("sh") or "/bin/sh"
TOOLS = ("sh", "sed")  # what the recipe of `make java` calls, java apart


def by_name(path: Path) -> str:
    return path.name


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`make` run in the project's folder with these environment variables and no others."""
    program = shutil.which("make")
    assert program is not None
    return subprocess.run(
        [program, "--no-print-directory", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def make_java(folder: Path, says: str | None) -> subprocess.CompletedProcess[str]:
    """`make java` where PATH holds nothing but a `java` that says this, or none at all."""
    for tool in TOOLS:
        (folder / tool).symlink_to(shutil.which(tool) or tool)
    if says is not None:
        (folder / "java").write_text(f"#!{SH}\necho '{says}' >&2\n")
        (folder / "java").chmod(0o755)
    return make("--silent", "java", PATH=str(folder))


# Makefile


def test_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    rules = set(re.findall(r"^([a-z][a-z-]*):(?!=)", makefile, flags=re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)
    assert phony is not None
    answer = make("help", PATH="/usr/bin:/bin")
    listed = re.findall(r"^  make ([a-z-]+) +\S", answer.stdout, flags=re.MULTILINE)
    assert set(listed) == rules == set(phony[1].split())
    assert len(listed) == len(rules)


def test_help_is_the_default() -> None:
    assert make(PATH="/usr/bin:/bin").stdout == make("help", PATH="/usr/bin:/bin").stdout


@pytest.mark.parametrize(
    "says",
    [
        'openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment',
        'openjdk version "21" 2023-09-19',
        'openjdk version "25-ea" 2025-09-16',
        'Picked up JAVA_TOOL_OPTIONS: -Da=b\njava version "17.0.1" 2021-10-19 LTS',
    ],
)
def test_new_java_is_accepted(tmp_path: Path, says: str) -> None:
    answer = make_java(tmp_path, says)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("says", "found"),
    [
        (None, "none"),
        ("The operation could not be completed. Unable to locate a Java Runtime.", "none"),
        ('java version "1.8.0_292"\nJava(TM) SE Runtime Environment', "8"),
        ('openjdk version "11.0.22" 2024-01-16', "11"),
    ],
)
def test_missing_java_is_one_line(tmp_path: Path, says: str | None, found: str) -> None:
    answer = make_java(tmp_path, says)
    said = [line for line in answer.stderr.splitlines() if not line.startswith("make: ***")]
    assert answer.returncode != 0
    assert len(said) == 1
    assert f"Java 17 or newer (found: {found})" in said[0]
    assert "apt-get install openjdk-17-jre-headless" in said[0]
    assert "brew install openjdk@17" in said[0]


def test_java_home_goes_before_path(tmp_path: Path) -> None:
    old = tmp_path / "old" / "bin"
    old.mkdir(parents=True)
    (old / "java").write_text(f"#!{SH}\necho 'java version \"1.8.0_292\"' >&2\n")
    (old / "java").chmod(0o755)
    answer = make("--silent", "java", PATH="/usr/bin:/bin", JAVA_HOME=str(old.parent))
    assert answer.returncode != 0
    assert f"found: 8 in JAVA_HOME={old.parent}" in answer.stderr


# conf/


def properties(path: Path) -> list[str]:
    """The property lines of a file of Spark properties."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("path", PROPERTY_FILES, ids=by_name)
def test_every_property_has_its_why(path: Path) -> None:
    above = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            # a comment, or a neighbour that shares one
            assert above, f"{path.name}: no comment above {line}"
        above = line


@pytest.mark.parametrize("path", PROPERTY_FILES, ids=by_name)
def test_properties_are_named_once(path: Path) -> None:
    names = [line.split(maxsplit=1)[0] for line in properties(path)]
    assert all(re.fullmatch(r"spark\.[A-Za-z0-9_.]+", name) for name in names)
    assert all(len(line.split(maxsplit=1)) == 2 for line in properties(path))
    assert len(names) == len(set(names))


def test_defaults_name_no_master() -> None:
    defaults = properties(ROOT / "conf" / "spark-defaults.conf")
    assert not [line for line in defaults if line.startswith("spark.master")]


def test_logging_has_one_source() -> None:
    link = ROOT / "conf" / "log4j2.properties"
    assert link.resolve() == ROOT / "w261reg" / "log4j2.properties"


def test_there_are_runs() -> None:
    assert len(RUNS) >= 4


@pytest.mark.parametrize("path", RUNS, ids=by_name)
def test_run_names_a_table_that_is_here(path: Path) -> None:
    run = tomllib.loads(path.read_text(encoding="utf-8"))
    known = {"data", "label", "positive", "loss", "reg_param", "elastic_net_param"}
    assert {"data", "label", "loss", "reg_param", "elastic_net_param"} <= set(run) <= known
    with (ROOT / run["data"]).open(encoding="utf-8") as table:
        assert run["label"] in table.readline().strip().split(",")
    assert run["loss"] in {"mse", "bxe"}
    assert ("positive" in run) == (run["loss"] == "bxe")
    assert isinstance(run["reg_param"], float)
    assert run["reg_param"] >= 0
    assert isinstance(run["elastic_net_param"], float)
    assert 0 <= run["elastic_net_param"] <= 1


# jobs/


@pytest.mark.parametrize("path", JOBS, ids=by_name)
def test_jobs_are_short_and_name_no_master(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    imported = {
        node.module if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert len(text.splitlines()) < 40
    assert not imported & {"numpy", "scipy", "pyspark", "pandas"}
    assert ".master(" not in text
    assert ast.get_docstring(tree)


# the build


def test_every_dependency_says_why() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    extras = project["optional-dependencies"].values()
    lines = text.splitlines()
    for requirement in sum(extras, project["dependencies"]):
        where = lines.index(f'    "{requirement}",')
        assert lines[where - 1].startswith("    # "), requirement


def test_every_folder_of_the_package_is_a_package() -> None:
    # From a zip on sys.path, as --py-files gives it, Python finds no folder without __init__.py.
    folders = {path.parent for path in (ROOT / "w261reg").rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").exists()]
