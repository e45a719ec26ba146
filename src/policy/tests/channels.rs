use proptest::prelude::*;

use super::*;

fn template(text: &str) -> ChannelTemplate {
    ChannelTemplate::parse(text).unwrap()
}

fn expand(text: &str, arguments: Value) -> Result<String, TemplateError> {
    template(text).expand(&object(arguments)).map(|channel| channel.as_str().to_owned())
}

#[test]
fn a_template_without_placeholders_is_a_channel() {
    let fixed = template("users");
    assert_eq!(fixed.arguments().count(), 0);
    assert_eq!(fixed.expand(&Map::new()).unwrap().as_str(), "users");
    let (first, second) = (fixed.expand(&Map::new()).unwrap(), fixed.expand(&Map::new()).unwrap());
    assert!(std::ptr::eq(first.as_str(), second.as_str()), "both are the same allocation");
}

#[test]
fn placeholders_become_the_values_of_arguments() {
    assert_eq!(template("{a}:x:{b_2}").arguments().collect::<Vec<_>>(), ["a", "b_2"]);
    assert_eq!(expand("orders:{id}", json!({"id": "42"})).unwrap(), "orders:42");
    assert_eq!(expand("{a}/x/{b}!", json!({"a": "ACTIVE", "b": true})).unwrap(), "ACTIVE/x/true!");
    assert_eq!(expand("n:{n}", json!({"n": -7})).unwrap(), "n:-7");
    assert_eq!(expand("n:{n}", json!({"n": 1.5})).unwrap(), "n:1.5");
}

#[test]
fn characters_that_structure_channels_are_escaped() {
    assert_eq!(expand("orders:{id}", json!({"id": "a:b"})).unwrap(), "orders:a%3Ab");
    assert_eq!(expand("o:{id}", json!({"id": "%3A*{}/ \n\u{a0}"})).unwrap(), "o:%253A%2A%7B%7D%2F%20%0A%C2%A0");
    assert_eq!(expand("o:{id}", json!({"id": "a-b_c.d~é@x"})).unwrap(), "o:a-b_c.d~é@x");
}

#[test]
fn values_that_name_no_channel_are_refused_by_the_arguments_name() {
    for (value, expected) in [
        (json!({}), "argument `id` is part of the channel's name and must not be null"),
        (json!({"id": null}), "argument `id` is part of the channel's name and must not be null"),
        (json!({"id": ""}), "argument `id` is part of the channel's name and must not be empty"),
        (json!({"id": ["a"]}), "argument `id` is part of the channel's name and must not be a list or an object"),
        (json!({"id": {}}), "argument `id` is part of the channel's name and must not be a list or an object"),
    ] {
        assert_eq!(expand("orders:{id}", value).unwrap_err().to_string(), expected);
    }
    let long = expand("orders:{id}", json!({"id": "x".repeat(249)})).unwrap_err().to_string();
    assert_eq!(long, "the arguments make a channel's name of 256 bytes, and 255 are allowed");
    assert!(expand("orders:{id}", json!({"id": "x".repeat(248)})).is_ok());
}

#[test]
fn wrong_templates_are_refused_with_the_remedy() {
    let refusal = |text: &str| ChannelTemplate::parse(text).unwrap_err().to_string();
    assert_eq!(refusal(""), "the channel has no name; write for example `users` or `orders:{order_id}`");
    for unpaired in ["orders:{", "orders:{id", "orders:}", "a}b{c}", "{a{b}}", "{a}}"] {
        assert!(refusal(unpaired).contains("a brace without its partner"), "{unpaired}");
    }
    for name in ["{}", "{a b}", "{1}", "{a.b}", "{é}"] {
        assert!(refusal(name).contains("is not the name of an argument"), "{name}");
    }
    assert_eq!(
        refusal("{a}-{b}"),
        "`{a}-{b}` needs `:` or `/` between {a} and {b}, or different values name the same channel"
    );
    assert!(refusal("x:{a}{b}").contains("between {a} and {b}"));
}

fn part() -> impl Strategy<Value = String> {
    "[ab:/%*{}\\-. \n3Aé]{1,6}"
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn different_values_name_different_channels(first in (part(), part()), second in (part(), part())) {
        for text in ["{a}:{b}", "x{a}-/-{b}-", "{a}a:b{b}"] {
            let channel = |(a, b): &(String, String)| expand(text, json!({"a": a, "b": b})).unwrap();
            prop_assert_eq!(channel(&first) == channel(&second), first == second, "{} {}", channel(&first), channel(&second));
        }
    }

    #[test]
    fn no_value_adds_structure(value in "\\PC{1,20}") {
        let channel = expand("x:{a}", json!({"a": value})).unwrap();
        prop_assert_eq!(channel.matches([':', '*', '/', '{', '}', ' ']).count(), 1);
    }

    #[test]
    fn no_template_panics(text in "[a{}:é ]{0,12}") {
        let _ = ChannelTemplate::parse(&text);
    }
}
