"""What runs while a component is built: import, checks, schema; and the report that the host reads."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bounds import PATIENCE

SDK = Path(__file__).resolve().parents[2] / "guest-python"
RESOLVER = """
from subcast_guest import subscription

@subscription("field", channel="c")
def field(event, variables):
    return event
"""
SCHEMA = "type Subscription { field: Int }"

PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
from subcast_guest import _build, _schema, _subscription
_build.load(sys.argv[2] + "/application.py", sys.argv[3])
print(json.dumps({
    "schema": _schema.resolved,
    "locations": [each.location for each in _subscription.definitions],
    "path": sys.path,
}))
"""


class Build:
    """A folder with sources, and a build of it in a Python of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.add("resolvers.py", RESOLVER)
        self.add("schema.graphql", SCHEMA)

    def add(self, name: str, text: str) -> None:
        path = self.home / "sources" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def remove(self, name: str) -> None:
        (self.home / "sources" / name).unlink()

    def run(self, file: str = "resolvers.py") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", PROGRAM, str(SDK), str(self.home), file]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)

    def succeeds(self, file: str = "resolvers.py") -> dict[str, Any]:
        ended = self.run(file)
        assert ended.returncode == 0, ended.stderr
        assert not (self.home / "report.json").exists()
        result: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
        return result

    def fails(self, file: str = "resolvers.py") -> dict[str, str]:
        assert self.run(file).returncode != 0
        report: dict[str, str] = json.loads((self.home / "report.json").read_text(encoding="utf-8"))
        return report

    def refused(self, file: str = "resolvers.py") -> str:
        report = self.fails(file)
        assert report["kind"] == "definition", report
        return report["message"]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path)


def test_a_module_is_imported_with_its_schema(build: Build) -> None:
    result = build.succeeds()
    assert result["schema"] == SCHEMA
    assert result["locations"] == ["resolvers.py:4 field"]
    assert str(build.home / "sources") not in result["path"]


def test_the_module_may_have_any_name(build: Build) -> None:
    build.add("my-users.py", RESOLVER)
    assert build.succeeds("my-users.py")["locations"] == ["my-users.py:4 field"]


def test_resolvers_may_live_in_other_files(build: Build) -> None:
    build.add("resolvers.py", "import package.users")
    build.add("package/__init__.py", "")
    build.add("package/users.py", RESOLVER)
    assert build.succeeds()["locations"] == ["package/users.py:4 field"]


def test_files_that_are_named_like_pythons_own_disturb_only_their_module(build: Build) -> None:
    build.add("json.py", "raise SystemError")
    build.add("logging.py", "raise SystemError")
    assert build.succeeds()["schema"] == SCHEMA


def test_a_module_that_is_named_like_a_loaded_one_is_refused(build: Build) -> None:
    build.add("json.py", RESOLVER)
    assert "json.py has the name of a Python module that is already loaded: rename it" in build.refused("json.py")


def test_a_module_without_resolvers_is_refused(build: Build) -> None:
    build.add("resolvers.py", "")
    assert build.refused().startswith("resolvers.py has no subscription: decorate a function with @subscription")


def test_two_resolvers_of_one_field_are_refused(build: Build) -> None:
    build.add("resolvers.py", RESOLVER + RESOLVER)
    assert build.refused() == (
        "Subscription.field has two resolvers, resolvers.py:4 field and resolvers.py:10 field: remove one"
    )


def test_a_wrong_signature_is_refused(build: Build) -> None:
    build.add("resolvers.py", RESOLVER.replace("event, variables", "event"))
    assert build.refused().startswith("resolvers.py:4 field: the function takes (event): write def field(event, vari")


def test_a_missing_schema_is_refused(build: Build) -> None:
    build.remove("schema.graphql")
    assert build.refused().startswith("resolvers.py has no GraphQL schema: write schema.graphql beside it, or call")


def test_a_schema_in_the_module_is_taken(build: Build) -> None:
    build.remove("schema.graphql")
    build.add("resolvers.py", RESOLVER + f'import subcast_guest\nsubcast_guest.schema("{SCHEMA} # here")\n')
    assert build.succeeds()["schema"] == f"{SCHEMA} # here"


def test_two_schemas_are_refused(build: Build) -> None:
    call = f'import subcast_guest\nsubcast_guest.schema("{SCHEMA}")\n'
    build.add("resolvers.py", RESOLVER + call)
    text = build.refused()
    assert (
        text == "resolvers.py:8 calls schema(), and there is a schema.graphql beside resolvers.py: remove one of them"
    )
    build.remove("schema.graphql")
    build.add("resolvers.py", RESOLVER + call + call)
    assert (
        build.refused()
        == "schema() is called twice, at resolvers.py:8 and resolvers.py:10: put everything into one call"
    )


@pytest.mark.parametrize("argument", ["5", "''", "' '", "None"])
def test_a_schema_that_is_no_text_is_refused(argument: str, build: Build) -> None:
    build.add("resolvers.py", f"import subcast_guest\nsubcast_guest.schema({argument})")
    assert build.refused().startswith("resolvers.py:2: schema() takes the schema as a text")


def test_a_schema_may_begin_with_a_mark(build: Build) -> None:
    build.add("schema.graphql", "\ufeff" + SCHEMA)
    assert build.succeeds()["schema"] == SCHEMA


def test_a_schema_in_another_encoding_is_refused(build: Build) -> None:
    (build.home / "sources/schema.graphql").write_bytes(b"# \xff")
    assert build.refused() == "schema.graphql is not UTF-8 (byte 2): save it in that encoding"


def test_an_exception_is_told_with_the_authors_frames(build: Build) -> None:
    build.add("resolvers.py", "import helpers")
    build.add("helpers.py", "def f():\n    raise ValueError('bad')\n\nprint('before')\nf()")
    report = build.fails()
    assert (report["kind"], report["message"], report["printed"]) == ("exception", "ValueError: bad", "before\n")
    assert 'File "resolvers.py", line 1' in report["traceback"]
    assert 'File "helpers.py", line 2, in f' in report["traceback"]
    assert "subcast_guest" not in report["traceback"] and str(build.home) not in report["traceback"]


def test_a_syntax_error_is_told_with_its_line(build: Build) -> None:
    build.add("resolvers.py", "x = 1\ndef f(:\n")
    report = build.fails()
    assert report["message"].startswith("SyntaxError: ")
    assert 'File "resolvers.py", line 2' in report["traceback"]


def test_a_missing_package_is_told_with_a_remedy(build: Build) -> None:
    build.add("resolvers.py", "import no_such_package")
    assert "pip install --target" in build.fails()["message"]


def test_an_exit_is_an_exception(build: Build) -> None:
    build.add("resolvers.py", "import sys\nsys.exit(5)")
    assert build.fails()["message"] == "SystemExit: 5"


def test_an_interpreter_that_ends_leaves_an_unfinished_report(build: Build) -> None:
    build.add("resolvers.py", "import os\nos._exit(3)")
    assert build.fails()["kind"] == "unfinished"


def test_printing_a_lot_is_no_problem(build: Build) -> None:
    build.add("resolvers.py", "import sys\nfor n in range(5000): print('line', n, file=sys.stderr)\n" + RESOLVER)
    ended = build.run()
    assert ended.returncode == 0 and "line" not in ended.stderr
    build.add("resolvers.py", "for n in range(5000): print('line', n)\nraise ValueError")
    printed = build.fails()["printed"]
    assert len(printed) == 4096 and printed.endswith("line 4999\n")
