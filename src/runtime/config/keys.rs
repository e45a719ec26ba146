//! Every key that may be set: name, preset, and what it means. The one source of which keys are known, of what holds
//! when nothing is set, and of `subcast config reference`.
//!
//! A name with a dot is a key of an inline table: `outbox.messages` is `outbox = { messages = … }`.

/// A table of the file.
#[derive(Debug)]
pub(super) struct Section {
    /// `[name]`.
    pub(super) name: &'static str,
    /// What its keys are about.
    pub(super) about: &'static str,
    /// Its keys, in the order in which they are explained.
    pub(super) keys: &'static [Key],
}

/// A key of a section.
#[derive(Debug)]
pub(super) struct Key {
    /// Its name, below the section.
    pub(super) name: &'static str,
    /// What holds when nobody sets it.
    pub(super) preset: Preset,
    /// Meaning, unit and consequence.
    pub(super) about: &'static str,
}

/// What holds when nobody sets a key; values are TOML.
#[derive(Clone, Copy, Debug)]
pub(super) enum Preset {
    /// This value.
    Is(&'static str),
    /// This value, once the table or array entry that it belongs to is there.
    Within(&'static str),
    /// Nothing. The value is an example.
    Unset(&'static str),
}

use Preset::{Is, Unset, Within};

const fn key(name: &'static str, preset: Preset, about: &'static str) -> Key {
    Key { name, preset, about }
}

/// The section that may be there several times, as `[[module]]`.
pub(super) const MODULE: &str = "module";

/// Every section, `[[module]]` last: what follows it in a file belongs to it.
pub(super) static SECTIONS: &[Section] = &[
    Section {
        name: "server",
        about: "What clients connect to.",
        keys: &[
            key(
                "listen",
                Is("\"127.0.0.1:8000\""),
                "Address and port; port 0 takes a free one. Other machines reach the host only at an address that is not loopback.",
            ),
            key(
                "allowed_origins",
                Unset("[\"https://app.example.com\"]"),
                "Origins of web pages that may connect; \"*\" allows all. Unset: pages of this host, and on loopback those of other local ports.",
            ),
            key(
                "max_message",
                Is("\"1MiB\""),
                "Largest WebSocket message and GraphQL request. A larger message closes its connection with 1009.",
            ),
            key(
                "max_publish",
                Is("\"16MiB\""),
                "Largest body of POST /events. A larger one is answered with 413, and nothing of it is published.",
            ),
            key(
                "connection_init_timeout",
                Is("\"3s\""),
                "How long a client may take to introduce itself; then its connection is closed with 4408.",
            ),
            key(
                "ping_interval",
                Is("\"12s\""),
                "How long a client may be silent before it is pinged. Keep it below the idle timeout of load balancers.",
            ),
            key(
                "pong_timeout",
                Is("\"12s\""),
                "How long a pinged client may stay silent; then its connection is closed with 3008.",
            ),
            key(
                "runtime_dir",
                Unset("\"/run/subcast\""),
                "Folder for the credential that the host draws where [publish] or [admin] have no token: a file that only this user may read, named by the address, removed when the host ends. Relative to this file; it must belong to this user, and nobody else may write to it. Unset: `subcast` in $XDG_RUNTIME_DIR, or `subcast-UID` in the folder of temporary files.",
            ),
        ],
    },
    Section {
        name: "auth",
        about: "Who may subscribe.",
        keys: &[
            key(
                "anonymous",
                Is("true"),
                "Whether clients without a credential may come in. false: they are closed with 4403. A credential that is shown must be valid in either case.",
            ),
            key("jwt.algorithms", Within("[\"HS256\"]"), "Signatures that are accepted. This version knows HS256."),
            key(
                "jwt.secret_env",
                Unset("\"SUBCAST_JWT_SECRET\""),
                "Name of the environment variable that holds the shared secret, at least 32 bytes. Unset: every token is refused.",
            ),
            key("jwt.issuer", Unset("\"https://issuer.example.com\""), "Required `iss`. Unset: any, or none."),
            key("jwt.audience", Unset("\"subcast\""), "Required `aud`. Unset: any, or none."),
            key(
                "jwt.leeway",
                Within("\"30s\""),
                "Tolerated difference between clocks when `exp` and `nbf` are checked; whole seconds.",
            ),
            key(
                "jwt.require_exp",
                Within("true"),
                "Whether a token without `exp` is refused. false: such a token is valid for ever.",
            ),
            key(
                "claims.tenant",
                Is("\"tenant_id\""),
                "Claim that names the subscriber's tenant: text, or a whole number. 1 and \"1\" are two tenants; any other value names none.",
            ),
        ],
    },
    Section {
        name: "limits",
        about: "How much clients may ask for. What is beyond is refused with an error that says so.",
        keys: &[
            key("subscriptions_per_connection", Is("100"), "Operations at a time on one connection."),
            key(
                "subscriptions_per_subject",
                Is("1000"),
                "Live subscriptions of one subject (`sub` of its token) over all its connections. Anonymous clients are not counted.",
            ),
            key(
                "connections",
                Is("50000"),
                "WebSocket connections; further ones are answered with 503. Each takes a file descriptor and 6 to 9 KB.",
            ),
            key("depth", Is("12"), "Nested fields of an operation, the root field included."),
            key("document.bytes", Is("\"256KiB\""), "Size of an operation's text."),
            key("document.tokens", Is("10000"), "Tokens of an operation."),
            key("document.fields", Is("5000"), "Fields of an operation with fragments expanded: fragments multiply."),
            key(
                "arguments",
                Is("\"256KiB\""),
                "Memory of an operation's variables as they come, of its coerced variables, and of its coerced arguments: a value takes 64 bytes and its text, an object 640 more. 1,000 UUIDs take 116 KB. Beyond, the operation is refused.",
            ),
            key(
                "bytes_per_connection",
                Is("\"4MiB\""),
                "What the subscriptions of one connection may keep: documents, declared variables, arguments and compiled selections. Beyond, the next one is refused.",
            ),
            key(
                "bytes_per_subject",
                Is("\"32MiB\""),
                "The same for all connections of one subject. Anonymous clients have the bound of their connection.",
            ),
            key(
                "introspection",
                Is("true"),
                "Whether clients may ask for the schema (`__schema`, `__type`). false: such an operation is refused; `__typename` is always answered. An answer has 64 KiB and 32 times the schema's SDL at most, and never more than 16 MiB.",
            ),
        ],
    },
    Section {
        name: "delivery",
        about: "What waits for a client that reads more slowly than events come.",
        keys: &[
            key("outbox.messages", Is("1024"), "Messages that may wait for one connection."),
            key(
                "outbox.bytes",
                Is("\"1MiB\""),
                "Bytes that may wait for one connection. A higher value costs memory only when clients are slow.",
            ),
            key(
                "slow_consumer",
                Is("\"close\""),
                "What happens beyond: \"close\" (with 1013; clients come back), \"drop-oldest\" or \"keep-latest\" (per operation; the client is told how many it missed).",
            ),
        ],
    },
    Section {
        name: "bus",
        about: "Where events come from.",
        keys: &[key("kind", Is("\"memory\""), "\"memory\": events published to this process, by POST /events.")],
    },
    Section {
        name: "publish",
        about: "Who may publish.",
        keys: &[
            key(
                "token_env",
                Unset("\"SUBCAST_PUBLISH_TOKEN\""),
                "Name of the environment variable that holds the token of POST /events, at least 16 bytes. Unset: the host draws one at start, which `subcast publish` of the same user finds by itself and `subcast token` prints.",
            ),
            key(
                "anonymous",
                Is("false"),
                "Whether everybody who reaches the port may publish. true: POST /events asks for no token.",
            ),
            key(
                "memory",
                Is("\"256MiB\""),
                "Memory of all requests to POST /events and of their events until these are delivered: bodies, and what is parsed of them (80 bytes for each JSON value, 640 more for each object). Beyond, a request is answered with 503 and Retry-After; one that can never fit, with 413.",
            ),
        ],
    },
    Section {
        name: "admin",
        about: "Who may look at the host and change its modules while it serves, and where their versions are kept.",
        keys: &[
            key(
                "token_env",
                Unset("\"SUBCAST_ADMIN_TOKEN\""),
                "Name of the environment variable that holds the token of /admin, at least 16 bytes. Unset: the host draws one at start, which `subcast deploy` of the same user finds by itself and `subcast token` prints.",
            ),
            key(
                "store",
                Unset("\"/var/lib/subcast\""),
                "Folder of deployed versions, for this host alone, relative to this file. Unset: `.subcast/NAME` beside this file, which is called NAME.toml; without a file, deployed versions end with the host.",
            ),
            key("versions", Is("5"), "Versions kept per module, the live one included: how far a rollback reaches."),
            key(
                "upload_timeout",
                Is("\"5m\""),
                "How long a component may take to arrive. Beyond, or with less than 64 KiB per second on average after the first 15 s, its deployment is answered with 400. Four may arrive at the same time; further ones are answered with 429.",
            ),
            key(
                "trusted_keys",
                Unset("[\"O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=\"]"),
                "Public ed25519 keys (`subcast sign` prints them). With any, every module must be signed by one of them; the signature of m.wasm is m.wasm.sig beside it. Unset: signatures are not looked at.",
            ),
        ],
    },
    Section {
        name: "sandbox",
        about: "Where resolvers run.",
        keys: &[
            key("threads", Unset("2"), "Threads that run resolvers. Unset: one per core."),
            key(
                "instances",
                Is("64"),
                "Running copies of all modules together, of 7 MB each at first. A module that finds no room is not loaded.",
            ),
            key("ceiling.cpu", Is("\"10s\""), "Most `cpu` that a module may be given."),
            key("ceiling.wall", Is("\"60s\""), "Most `wall` that a module may be given."),
            key("ceiling.memory", Is("\"1GiB\""), "Most `memory` that a module may be given."),
            key("ceiling.output", Is("\"64MiB\""), "Most `output` that a module may be given."),
            key("ceiling.instances", Is("64"), "Most `instances` that a module may be given."),
            key("ceiling.log_bytes", Is("\"16MiB\""), "Most `log_bytes` that a module may be given."),
            key("ceiling.queue", Is("1000000"), "Most `queue` that a module may be given."),
            key(
                "ceiling.patience",
                Is("\"5m\""),
                "Most `patience` that a module may be given. A module whose table asks for more than a ceiling is an error; nothing is cut silently.",
            ),
            key(
                "cache_dir",
                Unset("\"/var/cache/subcast\""),
                "Folder of compiled modules, relative to this file; only its owner may read it. Unset: `subcast` in $XDG_CACHE_HOME or ~/.cache.",
            ),
            key(
                "cache_size",
                Is("\"2GiB\""),
                "Size of that folder, of which a Python component takes 36 MB. Beyond, the compiled module that was unused for the longest time is removed, and compiled again when it is needed; what is live, or kept for a rollback, stays, whatever its size.",
            ),
        ],
    },
    Section {
        name: "telemetry",
        about: "What the host tells about itself. Metrics are always at GET /metrics.",
        keys: &[
            key(
                "log",
                Is("\"info\""),
                "off, error, warn, info, debug or trace; or per part: \"info,subcast::session=debug\". Written to standard error.",
            ),
            key("log_format", Is("\"text\""), "\"text\" for people, \"json\" for collectors: one object per line."),
        ],
    },
    Section {
        name: MODULE,
        about: "A module of resolvers; repeat the table for more. Modules named on the command line take the place of these; one of the same name keeps its limits.",
        keys: &[
            key(
                "name",
                Unset("\"users\""),
                "What it is called in logs and errors: letters, digits, `-`, `_` and `.`. Unset: the file's name without extension.",
            ),
            key(
                "path",
                Unset("\"users.wasm\""),
                "The component, relative to this file. Unset: nothing is served under this name until it is deployed.",
            ),
            key(
                "channels",
                Unset("[\"users\", \"orders:*\"]"),
                "Channels that it may listen to; `*` at the end stands for any rest. Unset: those that its resolvers name.",
            ),
            key(
                "watch",
                Within("false"),
                "Whether a new file at `path` is deployed as soon as it is there. Replace files by renaming. SIGHUP does it for all modules at once.",
            ),
            key(
                "isolation",
                Within("\"shared\""),
                "Who may meet in one running copy, which keeps its globals between calls. \"shared\": everyone. \"per-tenant\": subscribers of one tenant ([auth] claims.tenant); those without one are refused. With more tenants than `instances`, copies are replaced, never shared. \"per-call\": every call has a fresh copy and one invocation; about a millisecond of computing time each.",
            ),
            key("cpu", Within("\"100ms\""), "Computing time of one call. Beyond, the call is interrupted and fails."),
            key(
                "wall",
                Within("\"1s\""),
                "Duration of one call, waiting included. Beyond, the call is cut off and fails.",
            ),
            key("memory", Within("\"64MiB\""), "Memory of one instance. Beyond, Python raises MemoryError."),
            key("output", Within("\"1MiB\""), "Size of one value that a resolver returns. Beyond, the call fails."),
            key("instances", Within("4"), "Running copies of this module at most: how many calls may run at once."),
            key(
                "queue",
                Within("65536"),
                "Invocations that may wait for one field. Beyond, events are answered with OVERLOADED. One connection, or where tenants are isolated one tenant, never takes all of it.",
            ),
            key(
                "patience",
                Within("\"10s\""),
                "How long an invocation may wait for a running copy. Then it is answered with OVERLOADED.",
            ),
            key(
                "log_bytes",
                Within("\"64KiB\""),
                "What the module may write to the log, per second; the rest is dropped.",
            ),
            key(
                "clock",
                Within("\"exact\""),
                "Clocks of the module: \"exact\", \"coarse\" (rounded down to 1ms, for modules that are not trusted not to time their neighbours) or a resolution such as \"10ms\", at most \"1s\".",
            ),
        ],
    },
];

/// What a later version brings: section, key (empty: the whole section), and what to do until then.
pub(super) static LATER: &[(&str, &str, &str)] = &[
    ("server", "tls", "let a reverse proxy end TLS"),
    ("auth", "jwt.jwks_url", "use secret_env with HS256"),
    ("auth", "jwt.jwks_file", "use secret_env with HS256"),
    ("auth", "claims.roles", "read the claim in `where`: claims.NAME"),
    ("auth", "claims.scopes", "read the claim in `where`: claims.NAME"),
    ("limits", "rate", "limit rates in a reverse proxy"),
    ("bus", "url", "the memory bus has none"),
    ("bus", "consumer_group", "the memory bus has none"),
    ("bus", "history", "the memory bus has none"),
    ("audit", "", "remove it"),
    ("admin", "listen", "protect the routes with token_env"),
    ("telemetry", "otlp", "scrape GET /metrics"),
    (MODULE, "fetch", "a module has no network"),
    (MODULE, "settings", "keep settings in the module's sources"),
    ("policy", "", "restrict events by `where` in the resolver"),
    ("validation", "", "check events before they are published"),
];

/// The section of this name.
pub(super) fn section(name: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.name == name)
}

/// What to do instead of using a key of a later version, if it is one. An empty key asks about the section as a whole.
pub(super) fn later(section: &str, key: &str) -> Option<&'static str> {
    LATER.iter().find(|entry| entry.0 == section && entry.1 == key).map(|entry| entry.2)
}

impl Section {
    /// The key of this name.
    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The names that may follow `table`, which is empty or ends with a dot.
    pub(super) fn names_below(&self, table: &str) -> Vec<&'static str> {
        let mut names: Vec<_> = self
            .keys
            .iter()
            .filter_map(|key| key.name.strip_prefix(table))
            .filter_map(|rest| rest.split('.').next())
            .collect();
        names.dedup();
        names
    }

    /// Whether this is the name of an inline table.
    pub(super) fn is_table(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
    }
}

/// The known name that is spelt most like this one, if one is nearly that.
pub(super) fn nearest(name: &str, known: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(known, name), known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}
