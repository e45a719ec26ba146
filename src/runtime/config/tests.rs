use std::path::Path;
use std::time::Duration;

use super::keys::{LATER, MODULE, Preset, SECTIONS};
use super::*;

const SECRET: &str = "a secret of at least 32 bytes .....";
const TOKEN: &str = "a-token-of-at-least-16-bytes";

fn load_with(text: &str, environment: &[(&str, &str)], overrides: Overrides) -> Result<Config, ConfigError> {
    let file = tempfile::Builder::new().prefix("subcast").suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(Some(file.path()), environment, overrides)
}

fn load(text: &str) -> Result<Config, ConfigError> {
    load_with(text, &[], Overrides::default())
}

/// The refusal, without the folder and the random part of the file's name.
fn refusal_with(text: &str, environment: &[(&str, &str)]) -> String {
    let error = load_with(text, environment, Overrides::default()).unwrap_err().to_string();
    match error.split_once(".toml:") {
        Some((_, rest)) => format!("FILE:{rest}"),
        None => error,
    }
}

fn refusal(text: &str) -> String {
    refusal_with(text, &[])
}

fn defaults() -> Config {
    Config::load(None, std::iter::empty(), Overrides::default()).unwrap()
}

#[test]
fn without_anything_the_presets_hold() {
    let config = defaults();
    assert_eq!(config.server.listen, "127.0.0.1:8000".parse().unwrap());
    assert_eq!(config.server.max_message, 1 << 20);
    assert_eq!(config.protocol_config(), transport_ws::Config::default());
    assert_eq!(config.graphql_limits(), graphql::Limits::default());
    assert_eq!(
        (config.outbox.messages, config.outbox.bytes, config.outbox.policy),
        (1024, 1 << 20, outbox::SlowConsumer::Close)
    );
    assert_eq!(config.limits.connections, 50_000);
    assert!(
        config.auth.anonymous
            && config.auth.jwt.is_none()
            && config.publish.token.is_none()
            && !config.publish.anonymous
    );
    assert!(config.modules.is_empty());
}

#[test]
fn the_presets_of_a_module_are_those_of_the_sandbox() {
    let config = load("[[module]]\npath = \"users.wasm\"").unwrap();
    assert_eq!(format!("{:?}", config.modules[0].limits()), format!("{:?}", sandbox::Limits::default()));
}

#[test]
fn the_reference_parses_to_the_presets() {
    // The one preset that follows from where the file is.
    let without_store = |mut config: Config| {
        config.admin.store = None;
        format!("{config:?}")
    };
    assert_eq!(without_store(load(&reference()).unwrap()), without_store(defaults()));
}

#[test]
fn deployed_versions_are_kept_beside_the_file() {
    let store = load("").unwrap().admin.store.unwrap();
    assert_eq!(store.parent(), Some(std::env::temp_dir().join(".subcast").as_path()));
    assert_eq!(defaults().admin.store, None);
    assert_eq!(load("[admin]\nstore = \"x\"").unwrap().admin.store, Some(std::env::temp_dir().join("x")));
}

#[test]
fn every_example_of_the_reference_holds() {
    let is_setting =
        |line: &str| line.split_once(" = ").is_some_and(|(name, _)| !name.contains(' ')) || line.starts_with("[[");
    let uncommented: Vec<_> = reference()
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| is_setting(rest)).unwrap_or(line).to_owned())
        .collect();
    let environment = [
        ("SUBCAST_JWT_SECRET", SECRET),
        ("SUBCAST_PUBLISH_TOKEN", TOKEN),
        ("SUBCAST_ADMIN_TOKEN", "another-token-of-16-bytes"),
    ];
    let config = load_with(&uncommented.join("\n"), &environment, Overrides::default()).unwrap();
    assert_eq!(config.modules[0].name, "users");
    assert_eq!(config.auth.jwt.unwrap().secret.reveal(), SECRET);
    assert_eq!(config.publish.token.unwrap().reveal(), TOKEN);
}

#[test]
fn every_key_is_read_from_the_file() {
    for section in SECTIONS {
        for key in section.keys {
            let head = if section.name == MODULE { "[[module]]\n".to_owned() } else { format!("[{}]\n", section.name) };
            let path = if section.name == MODULE && key.name != "path" { "path = \"x.wasm\"\n" } else { "" };
            let refused = refusal(&format!("{head}{path}{} = [[]]", key.name));
            assert!(refused.contains(&format!("[{}] {}: expected", section.name, key.name)), "{refused}");
        }
    }
}

#[test]
fn every_key_but_those_of_modules_has_a_variable() {
    for section in SECTIONS.iter().filter(|section| section.name != MODULE) {
        for key in section.keys {
            let variable = format!("SUBCAST_{}_{}", section.name, key.name.replace('.', "_")).to_uppercase();
            let (Preset::Is(text) | Preset::Within(text) | Preset::Unset(text)) = key.preset;
            let mut environment = vec![
                ("SUBCAST_AUTH_JWT_SECRET_ENV", "SUBCAST_JWT_SECRET"),
                ("SUBCAST_JWT_SECRET", SECRET),
                ("SUBCAST_PUBLISH_TOKEN", TOKEN),
                ("SUBCAST_ADMIN_TOKEN", TOKEN),
            ];
            environment.push((&variable, text.trim_matches(['[', ']', '"'])));
            let loaded = load_with("", &environment, Overrides::default());
            assert!(loaded.is_ok(), "{variable}: {}", loaded.unwrap_err());
        }
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_nearest_known_one() {
    assert_eq!(refusal("[server]\n\nlisen = 1"), "FILE:3: [server] has no key `lisen`; did you mean `listen`?");
    assert_eq!(
        refusal("[delivery]\noutbox = { message = 1 }"),
        "FILE:2: [delivery] has no key `outbox.message`; did you mean `outbox.messages`?"
    );
    assert_eq!(
        refusal("[auth.jwt]\nsecret-env = \"X\""),
        "FILE:2: [auth] has no key `jwt.secret-env`; did you mean `jwt.secret_env`?"
    );
    assert_eq!(
        refusal("[[module]]\npath = \"x\"\ncpus = \"1s\""),
        "FILE:3: [module] has no key `cpus`; did you mean `cpu`?"
    );
    assert_eq!(refusal("[bus]\nzzz = 1"), "FILE:2: [bus] has no key `zzz`; there is `kind`");
    assert_eq!(refusal("[sever]"), "FILE:1: there is no section [sever]; did you mean [server]?");
    assert!(refusal("listen = 1").starts_with("FILE:1: there is no section [listen]; there are [server], [auth]"));
}

#[test]
fn a_key_of_a_later_version_is_refused_and_never_ignored() {
    for (section, key, instead) in LATER {
        let text = match (*section, *key) {
            (MODULE, key) => format!("[[module]]\npath = \"x.wasm\"\n{key} = true"),
            (section, "") => format!("[{section}]"),
            (section, key) => format!("[{section}]\n{key} = true"),
        };
        let refused = refusal(&text);
        assert!(refused.contains("not supported yet in this version") && refused.ends_with(instead), "{refused}");
    }
    assert_eq!(
        refusal("[[policy]]\nchannel = \"a\""),
        "FILE:1: [policy]: not supported yet in this version; restrict events by `where` in the resolver"
    );
    assert_eq!(
        refusal("[bus]\nkind = \"redis\""),
        "FILE:2: [bus] kind: \"redis\" is not supported yet in this version; use \"memory\""
    );
    let text = "[auth]\njwt = { algorithms = [\"RS256\"], secret_env = \"X\" }";
    assert_eq!(
        refusal(text),
        "FILE:2: [auth] jwt.algorithms: \"RS256\" is not supported yet in this version; use \"HS256\""
    );
    assert_eq!(
        refusal_with("", &[("SUBCAST_SERVER_TLS", "x")]),
        "environment variable SUBCAST_SERVER_TLS: not supported yet in this version; let a reverse proxy end TLS"
    );
}

#[test]
fn durations_have_a_unit() {
    let interval =
        |text: &str| load(&format!("[server]\nping_interval = {text}")).map(|config| config.server.ping_interval);
    for (text, milliseconds) in
        [("\"50ms\"", 50), ("\"3s\"", 3_000), ("\"10m\"", 600_000), ("\"1h\"", 3_600_000), ("\"2 s\"", 2_000)]
    {
        assert_eq!(interval(text).unwrap(), Duration::from_millis(milliseconds), "{text}");
    }
    let refused = |text: &str| {
        refusal(&format!("[server]\nping_interval = {text}")).replace("FILE:2: [server] ping_interval: ", "")
    };
    let expected = "expected a duration such as \"50ms\", \"3s\" or \"10m\", found";
    assert_eq!(refused("3"), format!("{expected} 3"));
    assert_eq!(refused("\"3\""), format!("{expected} \"3\": a unit is missing"));
    assert_eq!(refused("\"3 days\""), format!("{expected} \"3 days\": units are ms, s, m and h"));
    assert_eq!(refused("\"s\""), format!("{expected} \"s\""));
    assert_eq!(refused("\"0s\""), "\"0s\" is too short: it must be at least \"1ms\"");
    assert_eq!(refused("\"99999999h\""), "\"99999999h\" is longer than a year");
    assert_eq!(refused("\"18446744073709551615h\""), "\"18446744073709551615h\" is longer than a year");
}

#[test]
fn sizes_have_a_unit() {
    let size = |text: &str| load(&format!("[server]\nmax_message = {text}")).map(|config| config.server.max_message);
    for (text, bytes) in [("\"512B\"", 512), ("\"64KiB\"", 65_536), ("\"1MiB\"", 1 << 20), ("\"1GiB\"", 1 << 30)] {
        assert_eq!(size(text).unwrap(), bytes, "{text}");
    }
    let refused =
        |text: &str| refusal(&format!("[server]\nmax_message = {text}")).replace("FILE:2: [server] max_message: ", "");
    let expected = "expected a size such as \"512B\", \"64KiB\" or \"1MiB\", found";
    assert_eq!(refused("65536"), format!("{expected} 65536"));
    assert_eq!(refused("\"64KB\""), format!("{expected} \"64KB\": units are B, KiB, MiB and GiB"));
    assert_eq!(refused("\"0B\""), "\"0B\" is too small: it must be at least \"1B\"");
    assert_eq!(refused("\"99999999999GiB\""), "\"99999999999GiB\" is more than this machine can address");
}

#[test]
fn other_values_are_refused_with_what_was_expected() {
    assert_eq!(
        refusal("[limits]\ndepth = 0"),
        "FILE:2: [limits] depth: 0 is out of range: it must be at least 1 and at most 4294967295"
    );
    assert_eq!(
        refusal("[limits]\ndepth = \"12\""),
        "FILE:2: [limits] depth: expected a whole number, at least 1, found \"12\""
    );
    assert!(refusal("[limits]\nconnections = 5000000000").contains("at most 4294967295"));
    assert!(refusal("[server]\nlisten = \"localhost:80\"").contains("such as \"127.0.0.1:8000\""));
    assert!(refusal("[server]\nallowed_origins = [\"app.example.com\"]").contains("an origin such as"));
    assert!(refusal("[server]\nallowed_origins = [\"https://app.example.com/\"]").contains("an origin such as"));
    assert!(refusal("[telemetry]\nlog = \"inf\"").contains("off, error, warn"));
    assert!(load("[telemetry]\nlog = \"warn,subcast::session=trace\"").is_ok());
    assert!(
        refusal("[delivery]\nslow_consumer = \"drop\"")
            .contains("expected \"close\" or \"drop-oldest\" or \"keep-latest\"")
    );
    assert_eq!(
        refusal("[delivery]\noutbox = 7"),
        "FILE:2: [delivery] outbox: expected a table: outbox = { messages = …, bytes = … }"
    );
    assert!(refusal("[auth]\nanonymous = false").contains("FILE:2: [auth] anonymous: nobody could connect"));
    assert!(refusal("server = 1").contains("write [server] on a line of its own"));
    assert!(refusal("[module]\npath = \"x\"").contains("write [[module]]"));
    assert!(refusal("[server]\nlisten = ").starts_with("FILE:2: not valid TOML: "));
    assert!(refusal("[server]\nlisten = \"a\"\nlisten = \"b\"").starts_with("FILE:3: not valid TOML: duplicate key"));
    let missing = Config::load(Some(Path::new("/nowhere/subcast.toml")), std::iter::empty(), Overrides::default());
    assert!(missing.unwrap_err().to_string().starts_with("failed to read the configuration /nowhere/subcast.toml: "));
}

#[test]
fn the_environment_beats_the_file_and_flags_beat_both() {
    let text = "[server]\nlisten = \"127.0.0.1:1\"\nmax_message = \"1KiB\"\n[delivery]\noutbox = { messages = 5, bytes = \"1KiB\" }\n[auth]\njwt = { secret_env = \"KEY\" }";
    let environment = [
        ("KEY", "0123456789abcdef0123456789abcdef"),
        ("SUBCAST_SERVER_LISTEN", "127.0.0.1:2"),
        ("SUBCAST_DELIVERY_OUTBOX_BYTES", "2KiB"),
        ("SUBCAST_AUTH_ANONYMOUS", "false"),
        ("SUBCAST_SERVER_ALLOWED_ORIGINS", "https://a.example, https://b.example"),
        ("SUBCAST_TELEMETRY_LOG", "warn"),
    ];
    let config = load_with(text, &environment, Overrides::default()).unwrap();
    assert_eq!(config.server.listen.port(), 2);
    assert_eq!(config.server.max_message, 1024);
    assert_eq!((config.outbox.messages, config.outbox.bytes), (5, 2048));
    assert!(!config.auth.anonymous);
    assert_eq!(config.server.allowed_origins.unwrap(), ["https://a.example", "https://b.example"]);

    let overrides = Overrides {
        listen: Some("127.0.0.1:3".parse().unwrap()),
        log: Some("debug".to_owned()),
        log_format: Some(LogFormat::Json),
        ..Overrides::default()
    };
    let config = load_with(text, &environment, overrides).unwrap();
    assert_eq!(config.server.listen.port(), 3);
    assert_eq!((config.telemetry.log.as_str(), config.telemetry.log_format), ("debug", LogFormat::Json));
}

#[test]
fn a_misspelt_variable_is_refused_and_a_foreign_one_is_not() {
    assert_eq!(
        refusal_with("", &[("SUBCAST_DELIVERY_OUTBOX_BYTE", "1KiB")]),
        "environment variable SUBCAST_DELIVERY_OUTBOX_BYTE: [delivery] has no key `outbox_byte`; did you mean SUBCAST_DELIVERY_OUTBOX_BYTES?"
    );
    assert_eq!(
        refusal_with("", &[("SUBCAST_SERVR_LISTEN", "1KiB")]),
        "environment variable SUBCAST_SERVR_LISTEN: there is no section [servr]; did you mean [server]?"
    );
    assert_eq!(
        refusal_with("", &[("SUBCAST_LIMITS_DEPTH", "a lot")]),
        "environment variable SUBCAST_LIMITS_DEPTH: expected a whole number, at least 1, found \"a lot\""
    );
    assert!(refusal_with("", &[("SUBCAST_MODULE_PATH", "x")]).contains("not by the environment"));
    for foreign in [
        "SUBCAST_COMPONENTIZE_PY",
        "SUBCAST_TEST_PYTHON",
        "SUBCAST_PUBLISH_TOKEN",
        "SUBCAST_ADMIN_TOKEN",
        "SUBCAST_TOKEN",
        "SUBCAST",
        "PATH",
    ] {
        assert!(load_with("", &[(foreign, "x")], Overrides::default()).is_ok(), "{foreign}");
    }
}

#[test]
fn secrets_come_from_the_environment_and_are_never_shown() {
    let text = "[auth]\njwt = { algorithms = [\"HS256\"], secret_env = \"SUBCAST_AUTH_SECRET\", issuer = \"us\", leeway = \"5s\", require_exp = false }";
    let config = load_with(text, &[("SUBCAST_AUTH_SECRET", SECRET)], Overrides::default()).unwrap();
    assert!(!format!("{config:?}").contains(SECRET));
    let jwt = config.auth_config().jwt.unwrap();
    assert_eq!((jwt.secret.as_slice(), jwt.issuer.as_deref(), jwt.leeway), (SECRET.as_bytes(), Some("us"), 5));
    assert!(!jwt.require_exp, "it is true unless it is switched off: {config:?}");

    let place = "FILE:2: [auth] jwt.secret_env: the environment variable SUBCAST_AUTH_SECRET";
    assert_eq!(refusal(text), format!("{place} is not set"));
    assert_eq!(
        refusal_with(text, &[("SUBCAST_AUTH_SECRET", "short")]),
        format!("{place} holds 5 bytes; the secret must have at least 32")
    );
    assert!(refusal("[auth.jwt]\nissuer = \"us\"").contains("`jwt.secret_env` is missing"));
    assert!(refusal("[publish]\ntoken_env = \"SUBCAST_PUBLISH_TOKEN\"").ends_with("SUBCAST_PUBLISH_TOKEN is not set"));
}

#[test]
fn a_secret_may_have_any_name_and_sets_nothing_else() {
    for variable in [
        "SECRET",
        "SUBCAST_ADMIN_SECRET",
        "SUBCAST_SERVR_X",
        "SUBCAST_MODULE_X",
        "SUBCAST_LIMITS_DEPTH",
        "SUBCAST_ADMIN_TOKEN_ENV",
    ] {
        let text = format!("[admin]\ntoken_env = \"{variable}\"");
        let config = load_with(&text, &[(variable, TOKEN)], Overrides::default()).unwrap();
        assert_eq!(config.admin.token.unwrap().reveal(), TOKEN, "{variable}");
        assert!(config.warnings.is_empty(), "{variable}: {:?}", config.warnings);
        // The same when the environment says so.
        let named = [("SUBCAST_PUBLISH_TOKEN_ENV", variable), (variable, TOKEN)];
        let publish = load_with("", &named, Overrides::default()).map(|config| config.publish.token);
        match variable {
            // It names the admin token as well, and what it names is not there.
            "SUBCAST_ADMIN_TOKEN_ENV" => assert!(publish.is_err()),
            _ => assert_eq!(publish.unwrap().unwrap().reveal(), TOKEN, "{variable}"),
        }
    }
}

#[test]
fn a_credential_that_nothing_uses_is_told_with_the_key_that_would() {
    let told = |environment: &[(&str, &str)]| load_with("", environment, Overrides::default()).unwrap().warnings;
    for (variable, key) in [
        ("SUBCAST_ADMIN_TOKEN", "[admin] token_env = \"SUBCAST_ADMIN_TOKEN\""),
        ("SUBCAST_ADMIN_SECRET", "[admin] token_env = \"SUBCAST_ADMIN_SECRET\""),
        ("SUBCAST_PUBLISH_TOKEN", "[publish] token_env = \"SUBCAST_PUBLISH_TOKEN\""),
        ("SUBCAST_PUBLISH_PASSWORD", "[publish] token_env = "),
        ("SUBCAST_JWT_SECRET", "[auth] jwt.secret_env = \"SUBCAST_JWT_SECRET\""),
        ("SUBCAST_AUTH_JWT_SECRET", "[auth] jwt.secret_env = "),
        ("SUBCAST_TOKEN", "[auth] jwt.secret_env, [publish] token_env, [admin] token_env"),
        ("SUBCAST_API_KEY", "the keys that name a variable with a secret are"),
    ] {
        let warnings = told(&[(variable, SECRET)]);
        assert_eq!(warnings.len(), 1, "{variable}: {warnings:?}");
        assert!(warnings[0].contains(variable) && warnings[0].contains(key), "{warnings:?}");
        assert!(!warnings[0].contains(SECRET), "{warnings:?}");
        assert!(told(&[(variable, "")]).is_empty(), "{variable}");
    }
    let used = load_with(
        "[admin]\ntoken_env = \"SUBCAST_ADMIN_TOKEN\"",
        &[("SUBCAST_ADMIN_TOKEN", TOKEN)],
        Overrides::default(),
    );
    assert!(used.unwrap().warnings.is_empty());
    // What is nearly a key stays an error.
    for (variable, meant) in [
        ("SUBCAST_ADMIN_TRUSTED_KEY", "did you mean SUBCAST_ADMIN_TRUSTED_KEYS?"),
        ("SUBCAST_ADMIN_TOKENENV", "did you mean SUBCAST_ADMIN_TOKEN_ENV?"),
        ("SUBCAST_BUS_PASSWORD", "[bus] has no key `password`"),
        ("SUBCAST_ADMN_TOKEN", "did you mean [admin]?"),
    ] {
        let refused = refusal_with("", &[(variable, SECRET)]);
        assert!(refused.contains(meant) && !refused.contains(SECRET), "{refused}");
    }
}

#[test]
fn variables_of_kubernetes_services_are_left_alone() {
    for service in ["SUBCAST", "SUBCAST_SERVER", "SUBCAST_ADMIN", "SUBCAST_MODULE"] {
        for (end, value) in [
            ("SERVICE_HOST", "10.0.0.1"),
            ("SERVICE_PORT", "8000"),
            ("SERVICE_PORT_HTTP", "8000"),
            ("PORT", "tcp://10.0.0.1:8000"),
            ("PORT_8000_TCP", "tcp://10.0.0.1:8000"),
            ("PORT_8000_TCP_ADDR", "10.0.0.1"),
            ("PORT_8000_UDP_PORT", "8000"),
            ("PORT_8000_SCTP_PROTO", "sctp"),
        ] {
            let variable = format!("{service}_{end}");
            let loaded = load_with("", &[(&variable, value)], Overrides::default());
            assert!(loaded.is_ok_and(|config| config.warnings.is_empty()), "{variable}");
        }
    }
    for (variable, value) in
        [("SUBCAST_SERVER_PORT", "8000"), ("SUBCAST_SERVER_PORT_TCP", "x"), ("SUBCAST_SERVER_HOST", "x")]
    {
        assert!(refusal_with("", &[(variable, value)]).contains("[server] has no key"), "{variable}");
    }
}

#[test]
fn a_token_that_is_short_or_cannot_be_sent_is_refused() {
    for section in ["admin", "publish"] {
        let text = format!("[{section}]\ntoken_env = \"T\"");
        let place = format!("FILE:2: [{section}] token_env: the environment variable T");
        let refused = |token: &str| refusal_with(&text, &[("T", token)]);
        assert_eq!(refused("123456789012345"), format!("{place} holds 15 bytes; the secret must have at least 16"));
        for odd in ["a token with spaces", "a-tökén-with-umlauts", "a-token-with-\u{7f}-in-it"] {
            assert!(refused(odd).starts_with(&format!("{place} holds characters that no header has")), "{odd}");
        }
        assert!(load_with(&text, &[("T", "1234567890123456")], Overrides::default()).is_ok());
    }
    let both = refusal_with("[publish]\nanonymous = true\ntoken_env = \"T\"", &[("T", TOKEN)]);
    assert!(both.starts_with("FILE:2: [publish] anonymous: everybody may publish, and token_env"), "{both}");
}

#[test]
fn the_folder_of_credentials_is_known_without_the_secrets() {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), "[server]\nruntime_dir = \"run\"\n[admin]\ntoken_env = \"NOT_SET\"").unwrap();
    let beside = file.path().parent().unwrap().join("run");
    assert_eq!(Config::runtime_dir(Some(file.path()), std::iter::empty()).unwrap(), Some(beside));
    let variable = [("SUBCAST_SERVER_RUNTIME_DIR".to_owned(), "/elsewhere".to_owned())];
    assert_eq!(Config::runtime_dir(Some(file.path()), variable).unwrap(), Some("/elsewhere".into()));
    assert_eq!(Config::runtime_dir(None, std::iter::empty()).unwrap(), None);
}

#[test]
fn modules_are_found_beside_the_file_and_those_of_the_command_line_replace_them() {
    let text =
        "[[module]]\nname = \"users\"\npath = \"a/b.wasm\"\ncpu = \"5ms\"\n[[module]]\npath = \"/abs/orders.wasm\"\n";
    let modules = load(text).unwrap().modules;
    assert_eq!(modules[0].path, Some(std::env::temp_dir().join("a/b.wasm")));
    assert_eq!((modules[1].name.as_str(), modules[1].path.as_deref()), ("orders", Some(Path::new("/abs/orders.wasm"))));

    let named = ["x/users.wasm", "my module.wasm"].map(|path| ModuleFile::from(PathBuf::from(path)));
    let given = Overrides { modules: named.to_vec(), ..Overrides::default() };
    let modules = load_with(text, &[], given).unwrap().modules;
    let seen: Vec<_> = modules
        .iter()
        .map(|module| {
            (module.name.as_str(), module.path.as_ref().unwrap().to_str().unwrap(), module.limits().cpu.as_millis())
        })
        .collect();
    assert_eq!(seen, [("users", "x/users.wasm", 5), ("my-module", "my module.wasm", 100)]);
}

#[test]
fn modules_that_cannot_be_are_refused() {
    assert!(refusal("[[module]]\ncpu = \"1ms\"").starts_with("FILE:1: [module]: `path` is missing"));
    assert_eq!(load("[[module]]\nname = \"a\"").unwrap().modules[0].path, None);
    assert!(refusal("[[module]]\nname = \"a\"\nwatch = true").contains("there is no `path` to watch"));
    assert!(refusal("[[module]]\npath = \"x\"\nname = \"a b\"").contains("expected letters, digits"));
    assert!(
        refusal("[[module]]\npath = \"a/x.wasm\"\n[[module]]\npath = \"b/x.wasm\"")
            .contains("two modules are called `x`")
    );
    assert!(
        refusal("[[module]]\npath = \"x\"\ncpu = \"2s\"")
            .starts_with("FILE:3: [module] cpu: cpu (2s) can never be used up")
    );
}

#[test]
fn a_module_beyond_a_ceiling_is_refused_by_the_names_and_places_of_both() {
    let module = |line: &str| {
        format!("[sandbox]\nceiling = {{ memory = \"128MiB\", cpu = \"2s\" }}\n[[module]]\npath = \"x\"\n{line}")
    };
    assert!(load(&module("memory = \"128MiB\"\ncpu = \"1s\"")).is_ok());
    let refused = refusal(&module("memory = \"1GiB\""));
    let expected =
        "FILE:5: [module] memory: memory = \"1GiB\" is more than this host allows: ceiling.memory is \"128MiB\" (";
    assert!(refused.starts_with(expected) && refused.contains(":2: [sandbox] ceiling.memory)"), "{refused}");
    assert!(refusal(&module("wall = \"61s\"")).contains("ceiling.wall is \"60s\""));
    for line in
        ["queue = 1000001", "patience = \"6m\"", "output = \"65MiB\"", "instances = 65", "log_bytes = \"17MiB\""]
    {
        assert!(refusal(&module(line)).contains("is more than this host allows"), "{line}");
    }
    let low = refusal("[sandbox]\nceiling = { memory = \"1MiB\" }\n[[module]]\npath = \"x\"");
    assert!(low.starts_with("FILE:3: [module]: memory = \"64MiB\" (its preset) is more"), "{low}");
    let variable = [("SUBCAST_SANDBOX_CEILING_QUEUE", "5")];
    let refused = refusal_with("[[module]]\npath = \"x\"", &variable);
    assert!(refused.ends_with("ceiling.queue is 5 (environment variable SUBCAST_SANDBOX_CEILING_QUEUE)"), "{refused}");
}

#[test]
fn isolation_and_clock_have_names() {
    let limits = |text: &str| load(&format!("[[module]]\npath = \"x\"\n{text}")).unwrap().modules[0].limits();
    assert_eq!(limits("isolation = \"per-tenant\"").isolation, sandbox::Isolation::PerTenant);
    assert_eq!(limits("isolation = \"per-call\"").isolation, sandbox::Isolation::PerCall);
    assert_eq!(limits("clock = \"coarse\"").clock, Duration::from_millis(1));
    assert_eq!(limits("clock = \"20ms\"").clock, Duration::from_millis(20));
    assert_eq!(limits("clock = \"exact\"").clock, Duration::ZERO);
    let refused = |text: &str| refusal(&format!("[[module]]\npath = \"x\"\n{text}"));
    assert!(refused("clock = \"fast\"").contains("expected \"exact\", \"coarse\" or a resolution"));
    assert!(refused("clock = \"2s\"").contains("at most \"1s\""));
    assert!(refused("isolation = \"tenant\"").contains("\"shared\" or \"per-tenant\" or \"per-call\""));
}
