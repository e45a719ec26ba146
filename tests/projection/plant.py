"""Plants bugs in the projection, one at a time, and checks that the comparison with the reference catches each.

A test that compares thousands of random cases is worth what it finds. This copies `src/graphql` into a small package
under `target/planted`, makes sure that the comparison passes there, and that it fails with every one of the bugs
below. Cases are generated once. Takes a few minutes, of which the first build takes most.

Usage: plant.py (from anywhere). `SUBCAST_TEST_PYTHON` names an interpreter that has graphql-core; without it the one
of the repository's `.venv` is used.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLANTED = ROOT / "target" / "planted"
DEPENDENCIES = ["apollo-compiler", "indexmap", "serde", "serde_json", "thiserror"]


@dataclass(frozen=True)
class Bug:
    """A change of one place of the sources."""

    what: str
    file: str
    old: str
    new: str


BUGS = [
    Bug(
        "aliases are ignored",
        "collect.rs",
        "groups.entry(field.response_key().as_str())",
        "groups.entry(field.name.as_str())",
    ),
    Bug("@skip is ignored", "collect.rs", 'condition("skip") != Some(true) && ', ""),
    Bug(
        "fields of one response key are not merged",
        "collect.rs",
        "let sets: Vec<_> = nodes.iter()",
        "let sets: Vec<_> = nodes[..1].iter()",
    ),
    Bug(
        "type conditions match their own type only",
        "collect.rs",
        "condition == object || self.schema.definitions.is_subtype(condition, object)",
        "condition == object",
    ),
    Bug(
        "types come from the interface, not the object",
        "collect.rs",
        "let (ty, below, depth) = self.ty(&definition.ty, nodes)?;",
        "let _ = definition;\n            let (ty, below, depth) = self.ty(nodes[0].ty(), nodes)?;",
    ),
    Bug("null stops one level too low", "project.rs", "Err(Failed) if !ty.non_null &&", "Err(Failed) if"),
    Bug(
        "indexes are missing in paths",
        "project.rs",
        "let path = Path { step: Step::Index(index), parent: Some(at.path) };",
        "let path = Path { step: at.path.step, parent: at.path.parent };",
    ),
    Bug(
        "the first of duplicate keys counts",
        "project.rs",
        "if let Some(member) = found {",
        "if let Some(member) = found.filter(|member| self.members[base + member] == ABSENT) {",
    ),
    Bug("enum values are not checked", "leaf.rs", "if !member {", "if !member && name.is_empty() {"),
    Bug(
        "Int has 64 bits",
        "leaf.rs",
        "let value = i32::try_from(value).map_err",
        "let value = i64::try_from(value).map_err",
    ),
    Bug(
        "IDs stay numbers",
        "leaf.rs",
        'Leaf::Id => id(node, text, out).ok_or("ID cannot represent the value")?,',
        "Leaf::Id => out.push_str(text),",
    ),
    Bug(
        "defaults of input objects are left out",
        "coerce.rs",
        "(None, Some(default)) => {\n                literal(schema, &definition.ty, default",
        "(None, Some(default)) if level > 1 => {\n                literal(schema, &definition.ty, default",
    ),
    Bug(
        "members are found by position alone",
        "project.rs",
        "Some(member) if **member == *name => Some(guess),",
        "Some(_) => Some(guess),",
    ),
]


def manifest() -> str:
    """A package with nothing but the module under test and what it depends on."""
    with (ROOT / "Cargo.toml").open("rb") as file:
        main = tomllib.load(file)
    lines = ["[package]", 'name = "subcast"', 'version = "0.1.0"', f'edition = "{main["package"]["edition"]}"']
    lines += ["", "[workspace]", "", "[dependencies]"]
    for name in DEPENDENCIES:
        wanted = main["dependencies"][name]
        wanted = {"version": wanted} if isinstance(wanted, str) else wanted
        features = ", ".join(f'"{feature}"' for feature in wanted.get("features", []))
        lines.append(f'{name} = {{ version = "{wanted["version"]}", features = [{features}] }}')
    lines += ["", "[profile.dev]", "opt-level = 0", "debug = false", "", '[profile.dev.package."*"]', "opt-level = 1"]
    return "\n".join(lines) + "\n"


def lay_out() -> None:
    """Writes the package, with the sources as they are."""
    for part in ["src", "tests"]:
        shutil.rmtree(PLANTED / part, ignore_errors=True)
    shutil.copytree(ROOT / "src" / "graphql", PLANTED / "src" / "graphql")
    module = PLANTED / "src" / "graphql" / "mod.rs"
    module.write_text(re.sub(r"#\[cfg\(test\)\]\nmod tests;\n", "", module.read_text()))
    shutil.copytree(ROOT / "tests" / "projection", PLANTED / "tests" / "projection")
    (PLANTED / "src" / "lib.rs").write_text("pub mod graphql;\n")
    (PLANTED / "tests" / "it.rs").write_text('#[path = "projection/mod.rs"]\nmod projection;\n')
    (PLANTED / "Cargo.toml").write_text(manifest())
    shutil.copy(ROOT / "Cargo.lock", PLANTED / "Cargo.lock")


def cargo(*arguments: str, cases: Path) -> subprocess.CompletedProcess[str]:
    """Runs cargo in the package. Warnings do not matter here: planted bugs leave things unused."""
    environment = {**os.environ, "SUBCAST_PROJECTION_CASES": str(cases), "CARGO_TARGET_DIR": str(PLANTED / "target")}
    environment["RUSTFLAGS"] = "-Awarnings"
    environment["RUST_BACKTRACE"] = "0"
    return subprocess.run(
        ["cargo", *arguments], cwd=PLANTED, env=environment, capture_output=True, text=True, check=False
    )


def generate(cases: Path) -> None:
    """Generates the cases, with the seed and the number that the comparison has."""
    python = os.environ.get("SUBCAST_TEST_PYTHON", str(ROOT / ".venv" / "bin" / "python"))
    test = (ROOT / "tests" / "projection" / "mod.rs").read_text()
    numbers = [re.search(rf"const {name}: \w+ = ([\d_]+);", test)[1].replace("_", "") for name in ["SEED", "CASES"]]
    script = ROOT / "tests" / "projection" / "generate.py"
    with cases.open("w") as file:
        subprocess.run([python, str(script), *numbers], stdout=file, check=True)


def main() -> int:
    """Returns how many bugs were not caught."""
    started = time.monotonic()
    PLANTED.mkdir(parents=True, exist_ok=True)
    cases = PLANTED / "cases.jsonl"
    generate(cases)
    lay_out()
    clean = cargo("test", "--test", "it", cases=cases)
    if clean.returncode != 0:
        print("the comparison fails without any bug:\n", clean.stdout[-3000:], clean.stderr[-3000:])
        return 1
    print(f"no bug: passes ({time.monotonic() - started:.0f} s with building and generating)", flush=True)
    missed = 0
    for bug in BUGS:
        path = PLANTED / "src" / "graphql" / bug.file
        source = path.read_text()
        if source.count(bug.old) != 1:
            print(f"cannot plant “{bug.what}”: its place in {bug.file} is there {source.count(bug.old)} times")
            return 1
        path.write_text(source.replace(bug.old, bug.new))
        built = cargo("test", "--test", "it", "--no-run", cases=cases)
        result = cargo("test", "--test", "it", cases=cases)
        path.write_text(source)
        if built.returncode != 0:
            print(f"“{bug.what}” does not compile:\n{built.stderr[-3000:]}")
            return 1
        differ = re.search(r"(\d+) of (\d+) cases differ", result.stdout)
        caught = result.returncode != 0 and differ is not None
        missed += not caught
        print(f"{'caught' if caught else 'MISSED'}: {bug.what}" + (f" ({differ[0]})" if differ else ""), flush=True)
    print(f"{len(BUGS) - missed} of {len(BUGS)} planted bugs were caught in {time.monotonic() - started:.0f} s")
    return missed


if __name__ == "__main__":
    sys.exit(main())
