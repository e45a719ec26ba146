use super::*;

fn match_refusal(argument: &str, path: &str) -> String {
    Filter::compile(&[equality(argument, path)], None, &arguments()).unwrap_err().to_string()
}

#[track_caller]
fn refused(sources: &[(&str, &str)]) {
    for (source, expected) in sources {
        assert_eq!(refusal(source), *expected, "{source}");
    }
}

#[test]
fn a_match_names_what_is_wrong_and_the_remedy() {
    assert_eq!(
        match_refusal("strng", "a"),
        "match: the field has no argument `strng` (did you mean `string`?); declare it in the schema, or remove it from match"
    );
    assert_eq!(
        match_refusal("zzz", "a"),
        "match: the field has no argument `zzz`; declare it in the schema, or remove it from match"
    );
    assert_eq!(
        match_refusal("other", "a"),
        "match: `other` is a list, an input object or a custom scalar, which match cannot compare; write where=\"… args.other …\" instead"
    );
    assert_eq!(
        match_refusal("id", "a..b"),
        "match: the path `a..b` for `id` is wrong: a name is empty; write names separated by single dots, for example `user.id`"
    );
    assert!(match_refusal("id", "items.0.id").contains("does not look into lists"));
    assert!(match_refusal("id", "event.data.id").contains("leave `event.data.` out"));
}

#[test]
fn syntax_errors_have_a_position() {
    refused(&[
        ("event.data.total >=", "where: line 1, column 20: the predicate ends where a value is expected"),
        ("event.data.a\n&& (event.data.b", "where: line 2, column 17: missing ')' at '<EOF>'"),
        ("event.data.a $ 1", "where: line 1, column 14: token recognition error at: '$'"),
        ("a == 99999999999999999999", "where: line 1, column 6: invalid int literal"),
        ("", "where: line 1, column 1: the predicate is empty; leave `where` out"),
        ("a.?b", "where: line 1, column 2: unsupported syntax '.?'"),
    ]);
    assert!(refusal(&"(".repeat(200)).contains("nested too deeply"));
}

#[test]
fn unknown_names_are_refused_with_the_nearest() {
    refused(&[
        (
            "evnt.data.a == 1",
            "where: unknown variable `evnt` (did you mean `event`?); there are `event`, `args` and `claims`",
        ),
        ("user == 1", "where: unknown variable `user`; there are `event`, `args` and `claims`"),
        (
            ".event.data == 1",
            "where: unknown variable `.event` (did you mean `event`?); there are `event`, `args` and `claims`",
        ),
        (
            "event.data.a == args.strin",
            "where: the field has no argument `strin` (did you mean `string`?); declare it in the schema, or remove `args.strin`",
        ),
        ("has(args.zzz)", "where: the field has no argument `zzz`; declare it in the schema, or remove `args.zzz`"),
        ("args['zzz'] == 1", "where: the field has no argument `zzz`; declare it in the schema, or remove `args.zzz`"),
        (
            "event.typ == 'a'",
            "where: an event has no `typ` (did you mean `event.type`?); it has `id`, `channel`, `type`, `time`, `source` and `data`",
        ),
        (
            "1 < event.total",
            "where: an event has no `total` (did you mean `event.data.total`?); it has `id`, `channel`, `type`, `time`, `source` and `data`",
        ),
        ("event.type.x == 1", "where: `event.type` is text and has no members"),
        (
            "event == 1",
            "where: `event` cannot be used as a whole; name what you need of it, for example `event.data.id`",
        ),
        ("size(args) > 1", "where: `args` cannot be used as a whole; name what you need of it, for example `args.id`"),
        (
            "args[event.data.x] == 1",
            "where: `args` cannot be used as a whole; name what you need of it, for example `args.id`",
        ),
        ("siz(event.data.a) == 1", "where: unknown function `siz` (did you mean `size`?)"),
        ("_(1)", "where: unknown function `_`"),
        (".size(event.data.a) == 1", "where: unknown function `.size` (did you mean `size`?)"),
        ("optional.of(1) == 1", "where: unknown function `of`"),
        ("event.data.a.frobnicate()", "where: unknown function `frobnicate`"),
        ("size(event.data.a, 1) == 1", "where: `size` is not called like this; write `size(x)` or `x.size()`"),
        ("contains(event.data.a, 'x')", "where: `contains` is not called like this; write `text.contains(part)`"),
        (
            "has(event)",
            "where: `event` cannot be used as a whole; name what you need of it, for example `event.data.id`",
        ),
        (
            "has(claims)",
            "where: `has` is not called like this; write `has(event.data.name)`, with a member as its one argument",
        ),
        (
            "has(1 + 2)",
            "where: `has` is not called like this; write `has(event.data.name)`, with a member as its one argument",
        ),
    ]);
}

#[test]
fn what_has_no_bound_is_refused() {
    for name in ["all", "exists", "exists_one", "map", "filter"] {
        let source = format!("event.data.items.{name}(x, x > 1)");
        let expected = format!(
            "where: the macro `{name}` is not allowed, because its cost has no bound; use `in`, or decide in the resolver"
        );
        assert_eq!(refusal(&source), expected);
        assert_eq!(refusal(&format!("event.data.a == 1 && (true || [1].{name}(x, true))")), expected);
    }
    for source in
        ["event.data.a.matches('a+')", "matches(event.data.a, 'a+')", "{'a': [event.data.a.matches('x')]}.a[0]"]
    {
        assert!(refusal(source).contains("the function `matches` is not allowed"), "{source}");
    }
    assert!(refusal("a.B{c: 1} == 1").contains("`a.B{…}` is not allowed"));
}

#[test]
fn size_is_bounded_at_1_kib_and_64_nodes() {
    let long = |bytes: usize| format!("event.data.a == '{}'", "x".repeat(bytes - 18));
    assert_eq!(long(1024).len(), 1024);
    predicate(&long(1024));
    assert_eq!(
        refusal(&long(1025)),
        "where: the predicate has 1025 bytes, and 1024 are allowed; decide the rest in the resolver"
    );
    // One literal, and an operator with a literal for each further.
    predicate(&format!("true{}", " || true".repeat(31)));
    assert_eq!(
        refusal(&format!("true{}", " || true".repeat(32))),
        "where: the predicate has 65 operators, names and literals (each `+` counts as 8), and 64 are allowed; decide the rest in the resolver"
    );
    // Each copies what it joins.
    predicate(&format!("event.data.a == 'x'{}", " + 'x'".repeat(5)));
    assert!(refusal(&format!("event.data.a == 'x'{}", " + 'x'".repeat(7))).contains("64 are allowed"));
    assert!(refusal(&format!("event.data{} == 1", ".a".repeat(500))).contains("64 are allowed"));
    assert!(refusal(&format!("size({}1{}) == 1", "[".repeat(70), "]".repeat(70))).contains("64 are allowed"));
}
