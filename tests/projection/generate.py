"""Random subscriptions and values with the results that graphql-core computes for them.

Prints one JSON object per line: `schema`, `query`, `variables`, `value` (JSON text, as a resolver would return it),
`data` (JSON text), `paths` (of the errors), `arguments` (as coerced), `features` and `bubbled` (how many levels the
null that travelled farthest did). The same seed gives the same cases.

Usage: generate.py SEED COUNT
"""

from __future__ import annotations

import json
import random
import re
import sys
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    GraphQLCompositeType,
    GraphQLEnumType,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLType,
    GraphQLUnionType,
    build_schema,
    execute,
    get_named_type,
    is_abstract_type,
    is_composite_type,
    parse,
    validate,
)

CASES_PER_SCHEMA = 25
MAX_OBJECTS = 40  # in a value, about
MAX_ERRORS = 50  # more are left out by the implementation under test
LEAVES = ["Int", "Float", "String", "Boolean", "ID", "Color", "Blob"]
WRAPPERS = ["{}", "{}", "{}", "{}!", "{}!", "{}!", "[{}]", "[{}!]", "[{}!]!", "[[{}]]", "[[{}!]!]", "[[{}!]!]!"]
TEXTS = ["", "plain", 'quo"te', "back\\slash", "snow ☃", "clef 𝄞", "line\nbreak", "tab\t", "a/b", "\u007f", "é"]


class Members(list[tuple[str, Any]]):
    """An object of the schema's: pairs, so that a key can be there twice."""


@dataclass
class Case:
    """What is being generated, and which features it has."""

    rng: random.Random
    schema: GraphQLSchema
    faults: float
    features: set[str] = field(default_factory=set)
    fragments: list[str] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)
    declarations: list[str] = field(default_factory=list)
    names: int = 0
    wanted: set[str] = field(default_factory=set)
    objects: int = 0

    def name(self, prefix: str) -> str:
        """A name that the case does not have yet."""
        self.names += 1
        return f"{prefix}{self.names}"

    def chance(self, probability: float) -> bool:
        """True so often."""
        return self.rng.random() < probability


# Schemas


def random_schema(rng: random.Random) -> str:
    """SDL with interfaces, a union, enums, custom scalars, input objects, and one subscription field per kind."""
    objects = [f"T{i}" for i in range(rng.randint(3, 5))]
    interfaces = ["Node", "Named"]
    composites = [*objects, *interfaces, "Any"]

    def output() -> str:
        named = rng.choice(LEAVES) if rng.random() < 0.55 else rng.choice(composites)
        return rng.choice(WRAPPERS).format(named)

    shared = {name: {f"{name.lower()}{i}": output() for i in range(3)} for name in interfaces}
    lines = ["scalar Blob", "enum Color { RED GREEN BLUE }"]
    for name in interfaces:
        lines.append(f"interface {name} {{ {' '.join(f'{f}: {t}' for f, t in shared[name].items())} }}")
    for i, name in enumerate(objects):
        implemented = interfaces if i == 0 else [interfaces[i % 2]]
        fields = {f"f{j}": output() for j in range(rng.randint(3, 6))}
        for interface in implemented:
            for f, t in shared[interface].items():
                narrower = rng.random() < 0.3 and not t.endswith("!")
                fields[f] = t + "!" if narrower else t
        listed = list(fields.items())
        rng.shuffle(listed)
        lines.append(
            f"type {name} implements {' & '.join(implemented)} {{ {' '.join(f'{f}: {t}' for f, t in listed)} }}"
        )
    lines.append(f"union Any = {' | '.join(objects[: rng.randint(2, len(objects))])}")
    lines.append("input Inner { id: ID! colors: [Color!] ratio: Float = 1 }")
    lines.append('input Outer { name: String = "unnamed" inner: Inner = {id: 7} many: [Inner!] blob: Blob limit: Int }')
    arguments = (
        "(int: Int = 3, float: Float, id: ID, ids: [ID!], flag: Boolean, color: Color = GREEN, text: String, "
        "outer: Outer, inner: Inner = {id: 1, colors: RED}, blob: Blob, needed: Int! = 5)"
    )
    roots = [f"on{i}{arguments}: {rng.choice(WRAPPERS).format(t)}" for i, t in enumerate([*composites, "Int", "Color"])]
    lines.append(f"type Subscription {{ {' '.join(roots)} }}")
    lines.append("type Query { unused: Boolean }")
    return "\n".join(lines)


def prepared(sdl: str) -> GraphQLSchema:
    """The schema, strict about objects: anything else than a mapping is an error."""
    schema = build_schema(sdl)
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__") and type_.name != "Subscription":
            type_.is_type_of = lambda value, _info: isinstance(value, dict)
    return schema


def typename(value: Any, _info: Any, _type: Any) -> Any:
    """The runtime type, from nothing but `__typename`."""
    return value.get("__typename") if isinstance(value, dict) else None


# Operations


def selection_set(case: Case, type_: GraphQLCompositeType, depth: int) -> str:
    """A selection set of random fields and fragments."""
    rng = case.rng
    parts = [selection(case, type_, depth) for _ in range(rng.randint(1, 4 if depth > 1 else 2))]
    return "{ " + " ".join(parts) + " }"


def selection(case: Case, type_: GraphQLCompositeType, depth: int) -> str:
    rng = case.rng
    kind = rng.random()
    if kind < 0.12 or (depth <= 0 and isinstance(type_, GraphQLUnionType)):
        case.features.add("typename")
        return f"{alias(case)}__typename{condition(case)}"
    if depth > 0 and (kind < 0.35 or isinstance(type_, GraphQLUnionType)):
        on = fragment_type(case, type_)
        case.features.add(f"fragment_on_{kind_of(on)}")
        body = selection_set(case, on, depth - 1)
        if case.chance(0.5):
            case.features.add("inline_fragment")
            if on is type_ and case.chance(0.5):
                return f"...{condition(case)} {body}"
            return f"... on {on.name}{condition(case)} {body}"
        case.features.add("named_fragment")
        name = case.name("F")
        case.fragments.append(f"fragment {name} on {on.name} {body}")
        if case.chance(0.1):
            return f"...{name} ...{name}"
        return f"...{name}{condition(case)}"
    name, definition = rng.choice(list(type_.fields.items()))
    named = get_named_type(definition.type)
    features_of(case, definition.type)
    if not is_composite_type(named):
        return f"{alias(case)}{name}{condition(case)}"
    if depth <= 0:
        case.features.add("typename")
        return f"{alias(case)}{name}{condition(case)} {{ __typename }}"
    if case.chance(0.15):
        case.features.add("merged_fields")
        first, second = selection_set(case, named, depth - 1), selection_set(case, named, depth - 1)
        return f"{name} {first} {name}{condition(case)} {second}"
    return f"{alias(case)}{name}{condition(case)} {selection_set(case, named, depth - 1)}"


def features_of(case: Case, type_: GraphQLType) -> None:
    lists = str(type_).count("[")
    case.features.update(["list"] * (lists > 0) + ["nested_list"] * (lists > 1))
    named = get_named_type(type_)
    if isinstance(named, GraphQLEnumType):
        case.features.add("enum")
    elif named.name == "Blob":
        case.features.add("custom_scalar")
    elif is_abstract_type(named):
        case.features.add(kind_of(named))


def kind_of(type_: GraphQLCompositeType) -> str:
    if isinstance(type_, GraphQLInterfaceType):
        return "interface"
    return "union" if isinstance(type_, GraphQLUnionType) else "object"


def fragment_type(case: Case, type_: GraphQLCompositeType) -> GraphQLCompositeType:
    """A type that a fragment may have here: one that shares a possible type."""

    def possible(candidate: GraphQLCompositeType) -> set[str]:
        if is_abstract_type(candidate):
            return {t.name for t in case.schema.get_possible_types(candidate)}
        return {candidate.name}

    composite = [t for t in case.schema.type_map.values() if is_composite_type(t) and not t.name.startswith("__")]
    fitting = [t for t in composite if possible(t) & possible(type_) and t.name not in {"Subscription", "Query"}]
    return case.rng.choice(fitting)


def alias(case: Case) -> str:
    if not case.chance(0.3):
        return ""
    case.features.add("alias")
    return case.name("a") + ": "


def condition(case: Case) -> str:
    """Nothing, or `@skip` and `@include` with literals and variables."""
    if not case.chance(0.2):
        return ""
    text = ""
    for directive in case.rng.sample(["skip", "include"], case.rng.choice([1, 1, 2])):
        case.features.add(directive)
        value = case.chance(0.35 if directive == "skip" else 0.7)
        if case.chance(0.5):
            text += f" @{directive}(if: {str(value).lower()})"
            continue
        variable = case.name("v")
        if case.chance(0.4):
            case.features.add("variable_default")
            default = case.chance(0.5)
            case.declarations.append(f"${variable}: Boolean! = {str(default).lower()}")
            if case.chance(0.5):
                case.variables[variable] = value
        else:
            case.declarations.append(f"${variable}: Boolean!")
            case.variables[variable] = value
        text += f" @{directive}(if: ${variable})"
    return text


# Arguments


def arguments(case: Case, field_arguments: dict[str, Any]) -> str:
    """Some arguments: literals, variables with and without defaults, given and not."""
    given = []
    for name, argument in field_arguments.items():
        if not case.chance(0.3):
            continue
        if isinstance(get_named_type(argument.type), GraphQLInputObjectType):
            case.features.add("input_object_argument")
        value = input_value(case, argument.type)
        if case.chance(0.5):
            given.append(f"{name}: {literal(case, argument.type, value)}")
            continue
        variable = case.name("v")
        declaration = f"${variable}: {argument.type}"
        if case.chance(0.4) or isinstance(argument.type, GraphQLNonNull):
            case.features.add("variable_default")
            declaration += f" = {constant(argument.type, input_value(case, argument.type))}"
        case.declarations.append(declaration)
        if case.chance(0.7):
            case.variables[variable] = value
        given.append(f"{name}: ${variable}")
    return f"({', '.join(given)})" if given else ""


def input_value(case: Case, type_: GraphQLType) -> Any:
    """A value of an input type, as JSON."""
    rng = case.rng
    if isinstance(type_, GraphQLNonNull):
        return input_value_not_null(case, type_.of_type)
    return None if rng.random() < 0.1 else input_value_not_null(case, type_)


def input_value_not_null(case: Case, type_: GraphQLType) -> Any:
    rng = case.rng
    if isinstance(type_, GraphQLList):
        if rng.random() < 0.2:
            return input_value_not_null(case, get_named_type(type_))
        return [input_value(case, type_.of_type) for _ in range(rng.randint(0, 3))]
    if isinstance(type_, GraphQLInputObjectType):
        return {
            name: input_value(case, f.type)
            for name, f in type_.fields.items()
            if isinstance(f.type, GraphQLNonNull) or rng.random() < 0.5
        }
    if isinstance(type_, GraphQLEnumType):
        return rng.choice(list(type_.values))
    return {
        "Int": lambda: rng.choice([0, -1, 2**31 - 1, rng.randint(-100, 100)]),
        "Float": lambda: rng.choice([0, 1.5, -2e10, 3]),
        "ID": lambda: rng.choice(["x", 5, "007", 12345678901234567]),
        "Boolean": lambda: rng.random() < 0.5,
        "String": lambda: rng.choice(TEXTS),
        "Blob": lambda: blob(case, 2),
    }[type_.name]()


def constant(type_: GraphQLType, value: Any) -> str:
    """A literal without variables."""
    if value is None:
        return "null"
    inner = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
    if isinstance(inner, GraphQLList):
        if isinstance(value, list):
            return "[" + ", ".join(constant(inner.of_type, v) for v in value) + "]"
        return constant(inner.of_type, value)
    if isinstance(inner, GraphQLInputObjectType):
        return "{" + ", ".join(f"{k}: {constant(inner.fields[k].type, v)}" for k, v in value.items()) + "}"
    if isinstance(inner, GraphQLEnumType):
        return str(value)
    return untyped(value)


def literal(case: Case, type_: GraphQLType, value: Any) -> str:
    """A literal, some of whose members may be variables."""
    inner = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
    if not isinstance(inner, GraphQLInputObjectType) or value is None:
        return constant(type_, value)
    members = []
    for name, member in value.items():
        member_type = inner.fields[name].type
        if case.chance(0.25):
            variable = case.name("v")
            case.declarations.append(f"${variable}: {member_type}")
            if isinstance(member_type, GraphQLNonNull) or case.chance(0.6):
                case.variables[variable] = member
            members.append(f"{name}: ${variable}")
        else:
            members.append(f"{name}: {literal(case, member_type, member)}")
    return "{" + ", ".join(members) + "}"


def untyped(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {untyped(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(untyped(v) for v in value) + "]"
    return json.dumps(value)


# Values


def output_value(case: Case, type_: GraphQLType, depth: int) -> Any:
    """What a resolver might return for the type; now and then something that does not fit."""
    if isinstance(type_, GraphQLNonNull):
        return None if case.chance(case.faults) else output_not_null(case, type_.of_type, depth)
    return None if case.chance(0.07) else output_not_null(case, type_, depth)


def output_not_null(case: Case, type_: GraphQLType, depth: int) -> Any:
    rng = case.rng
    if isinstance(type_, GraphQLList):
        if case.chance(case.faults / 2):
            return rng.choice([5, "text", True, {}])
        length = rng.choice([0, 1, 1, 2, 3]) if case.objects < MAX_OBJECTS else 0
        return [output_value(case, type_.of_type, depth) for _ in range(length)]
    if is_composite_type(type_):
        return output_object(case, type_, depth)
    if case.chance(case.faults):
        return wrong_leaf(case, type_)
    return fitting_leaf(case, type_)


def output_object(case: Case, type_: GraphQLCompositeType, depth: int) -> Any:
    rng = case.rng
    if case.chance(case.faults / 2):
        return rng.choice([5, "text", [], False])
    runtime = type_
    members = Members()
    case.objects += 1
    if is_abstract_type(type_):
        runtime = rng.choice(case.schema.get_possible_types(type_))
        name: Any = runtime.name
        if case.chance(case.faults):
            name = rng.choice([None, "Nobody", type_.name, "Query", 5, ""])
            case.features.add("wrong_typename")
        if not (name is None and case.chance(0.5)):
            members.append(("__typename", name))
    if depth > 0:
        for name, definition in runtime.fields.items():
            unread = name not in case.wanted and not case.chance(0.1)
            if unread or case.chance(0.03 + case.faults / 4):
                continue
            members.append((name, output_value(case, definition.type, depth - 1)))
    if case.chance(0.3):
        members.append((rng.choice(["extra", "f99", "ключ", "__other"]), blob(case, 1)))
    if case.chance(0.3):
        rng.shuffle(members)
    if members and case.chance(0.05):
        case.features.add("duplicate_key")
        members.insert(0, (rng.choice(members)[0], rng.choice([None, 1, "earlier", []])))
    return members


def fitting_leaf(case: Case, type_: Any) -> Any:
    """A value that the type accepts, in a fifth of the cases one that has to be converted."""
    rng = case.rng
    if isinstance(type_, GraphQLEnumType):
        return rng.choice(list(type_.values))
    if type_.name == "Blob":
        return blob(case, 3, null=False)
    if case.chance(0.2):
        case.features.add(f"{type_.name}_converted")
        return rng.choice(
            {
                "Int": [7.0, -3e3, True, False, "42", " -7 ", "+5", "1_000", "007", 2147483647.0],
                "Float": [3, True, False, "1.5", " 2 ", "-1e3", "1_0.5", ".5", "5.", -0.0, 123456789012345],
                "String": [5, -7, 1.5, 1e16, 1e22, 1.5e-5, 0.0001, 123456.0, -0.0, True, False, 10**25],
                "Boolean": [0, 1, 2, 0.0, 1.5, -1],
                "ID": [5, -5, 5.0, 1e20, 10**25, -0.0],
            }[type_.name]
        )
    return {
        "Int": lambda: rng.choice([0, 1, -1, 2**31 - 1, -(2**31), rng.randint(-1000, 1000)]),
        "Float": lambda: rng.choice([0.0, 1.5, -2.25e-7, 1e300, rng.random()]),
        "String": lambda: rng.choice(TEXTS),
        "Boolean": lambda: rng.random() < 0.5,
        "ID": lambda: rng.choice(["id", "17", *TEXTS]),
    }[type_.name]()


def wrong_leaf(case: Case, type_: Any) -> Any:
    """A value that the type does not accept."""
    rng = case.rng
    if isinstance(type_, GraphQLEnumType):
        return rng.choice(["PINK", "red", "", 1, True, ["RED"], {"RED": 1}, 'R"'])
    return rng.choice(
        {
            "Int": [2**31, -(2**31) - 1, 1.5, "abc", "", "1.0", [], {}, "1__0", 1e10, 10**30, "99999999999"],
            "Float": ["abc", "", "nan", "inf", [], {}, 2**53 + 1, 10**400, "_1"],
            "String": [[], {}, ["a"]],
            "Boolean": ["true", "", [], {}],
            "ID": [1.5, True, [], {}],
            "Blob": [None],
        }[type_.name]
    )


def blob(case: Case, depth: int, *, null: bool = True) -> Any:
    """Any JSON."""
    rng = case.rng
    kind = rng.randint(0 if null else 1, 7 if depth > 0 else 5)
    if kind == 6:
        return [blob(case, depth - 1) for _ in range(rng.randint(0, 3))]
    if kind == 7:
        keys = rng.sample(["z", "a", "m", "b", "k"], rng.randint(0, 4))
        return {key: blob(case, depth - 1) for key in keys}
    return [None, True, 1.5, 10**20, rng.choice(TEXTS), -3][kind]


def text_of(case: Case, value: Any) -> str:
    """JSON text, written in one of the ways in which it can be."""
    ascii_only = case.chance(0.5)
    comma, colon = case.rng.choice([(", ", ": "), (",", ":"), (" ,\n\t", " : ")])

    def write(value: Any) -> str:
        if isinstance(value, Members):
            return "{" + comma.join(f"{key(name)}{colon}{write(member)}" for name, member in value) + "}"
        if isinstance(value, list):
            return "[" + comma.join(map(write, value)) + "]"
        return json.dumps(value, ensure_ascii=ascii_only, separators=(comma, colon))

    def key(name: str) -> str:
        if case.chance(0.03):
            case.features.add("escaped_key")
            return f'"\\u{ord(name[0]):04x}{name[1:]}"'
        return json.dumps(name, ensure_ascii=ascii_only)

    return write(value)


# Reference


def bubbled(data: Any, path: list[str | int]) -> int:
    """How many levels above the failed field or item the null is."""
    for level, step in enumerate(path):
        if data is None:
            return len(path) - level
        data = data[step]
    return 0


def random_case(rng: random.Random, sdl: str, schema: GraphQLSchema) -> dict[str, Any] | None:
    """A case, or none if what came out is not a valid operation."""
    case = Case(rng, schema, faults=rng.choice([0.0, 0.0, 0.08, 0.15]))
    root_name, root = rng.choice(list(schema.subscription_type.fields.items()))
    features_of(case, root.type)
    named = get_named_type(root.type)
    body = f" {selection_set(case, named, 4)}" if is_composite_type(named) else ""
    given = arguments(case, root.args)
    rng.shuffle(case.declarations)
    declared = f"({', '.join(case.declarations)})" if case.declarations else ""
    query = f"subscription S{declared} {{ {alias(case)}{root_name}{given}{body} }}\n" + "\n".join(case.fragments)
    document = parse(query)
    if validate(schema, document):
        return None
    case.wanted = set(re.findall(r"\w+", query))
    text = text_of(case, output_value(case, root.type, 5))
    seen: dict[str, Any] = {}

    def resolve(_source: Any, _info: Any, **coerced: Any) -> Any:
        seen.update(coerced)
        return json.loads(text)

    root.resolve = resolve
    result = execute(schema, document, variable_values=case.variables, type_resolver=typename)
    errors: list[GraphQLError] = result.errors or []
    if any(error.path is None for error in errors) or len(errors) > MAX_ERRORS:
        return None
    levels = max((bubbled(result.data, error.path) for error in errors), default=0)
    if levels:
        case.features.add("null_bubbling")
    return {
        "schema": sdl,
        "query": query,
        "variables": case.variables,
        "value": text,
        "data": json.dumps(result.data),
        "paths": [error.path for error in errors],
        "arguments": seen,
        "features": sorted(case.features),
        "bubbled": levels,
    }


def main() -> None:
    """Prints the cases."""
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    rng = random.Random(seed)
    printed = 0
    while printed < count:
        sdl = random_schema(rng)
        schema = prepared(sdl)
        for _ in range(CASES_PER_SCHEMA):
            if printed < count and (case := random_case(rng, sdl, schema)):
                print(json.dumps(case))
                printed += 1


if __name__ == "__main__":
    main()
