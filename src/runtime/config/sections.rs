//! The sections as types, each read from what was set of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::environment::Environment;
use super::error::ConfigError;
use super::secret::Secret;
use super::setting::{Choice, Count, Interval, LogDirectives, Setting, Size, WebOrigin};
use super::settings::Settings;
use crate::deploy::TrustedKey;
use crate::outbox::SlowConsumer;
use crate::{outbox, sandbox};

/// Shortest secret of HS256: as long as its hash (RFC 7518 §3.2).
const HS256_SECRET: usize = 32;
/// Shortest token of the publish and admin routes, in bytes.
const TOKEN: usize = 16;

/// What clients connect to.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Origins of web pages that may connect; `None`: only pages of this very host.
    pub allowed_origins: Option<Vec<String>>,
    /// Largest WebSocket message and GraphQL request body, in bytes.
    pub max_message: usize,
    /// Largest body of `POST /events`, in bytes.
    pub max_publish: usize,
    /// How long a client may take to send `connection_init`.
    pub connection_init_timeout: Duration,
    /// How long a client may be silent before it is pinged.
    pub ping_interval: Duration,
    /// How long a pinged client may stay silent.
    pub pong_timeout: Duration,
    /// Folder for the file with the credential that the host draws; `None`: one of the session or of temporary files.
    pub runtime_dir: Option<PathBuf>,
}

/// Who may subscribe.
#[derive(Clone, Debug)]
pub struct Auth {
    /// Whether someone without a credential may come in.
    pub anonymous: bool,
    /// How tokens are checked; without it every token is refused.
    pub jwt: Option<Jwt>,
    /// Claim that names the tenant.
    pub tenant_claim: String,
}

/// How tokens are checked.
#[derive(Clone, Debug)]
pub struct Jwt {
    /// Shared secret of HS256, at least 32 bytes.
    pub secret: Secret,
    /// Required `iss`, if any.
    pub issuer: Option<String>,
    /// Required `aud`, if any.
    pub audience: Option<String>,
    /// Tolerated clock difference; whole seconds.
    pub leeway: Duration,
    /// Whether a token without `exp` is refused.
    pub require_exp: bool,
}

/// How much clients may ask for.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Operations at a time on one connection.
    pub subscriptions_per_connection: usize,
    /// Live subscriptions of one subject, over all its connections.
    pub subscriptions_per_subject: usize,
    /// WebSocket connections.
    pub connections: usize,
    /// Nested fields of an operation.
    pub depth: usize,
    /// Bytes of an operation.
    pub document_bytes: usize,
    /// Tokens of an operation.
    pub document_tokens: usize,
    /// Fields of an operation, fragments expanded.
    pub document_fields: usize,
    /// Bytes of an operation's inputs in memory.
    pub arguments: usize,
    /// Bytes that the subscriptions of a connection keep.
    pub bytes_per_connection: usize,
    /// Bytes that the subscriptions of a subject keep.
    pub bytes_per_subject: usize,
    /// Whether introspection is answered.
    pub introspection: bool,
}

/// Who may publish.
#[derive(Clone, Debug)]
pub struct Publish {
    /// The token of `POST /events`. Without it the host draws one.
    pub token: Option<Secret>,
    /// Whether everybody may publish who reaches the port. Never together with a token.
    pub anonymous: bool,
}

/// Who may change modules, and where their versions are kept.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The token of `/admin`. Without it the host draws one.
    pub token: Option<Secret>,
    /// Folder of deployed versions; `None`: they end with the host.
    pub store: Option<PathBuf>,
    /// Versions kept per module.
    pub versions: usize,
    /// How long a component may take to arrive by `PUT /admin/modules/NAME`.
    pub upload_timeout: Duration,
    /// Keys of those who may sign modules. Empty: signatures are not looked at.
    pub trusted_keys: Vec<TrustedKey>,
}

/// What the host tells about itself.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// Directives of the log: a level, or one per part.
    pub log: String,
    /// How the log is written.
    pub log_format: LogFormat,
}

/// How the log is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For collectors: one object per line.
    Json,
}

/// Where events come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BusKind {
    /// Publishers of this process.
    Memory,
}

/// Signatures of tokens.
#[derive(Clone, Copy, Debug)]
enum Algorithm {
    Hs256,
}

impl Server {
    /// `folder` is that of the configuration file.
    pub(super) fn read(settings: &Settings, folder: &Path) -> Result<Self, ConfigError> {
        let origins = settings.given::<Vec<WebOrigin>>("allowed_origins")?;
        Ok(Self {
            listen: settings.read("listen")?,
            allowed_origins: origins.map(|origins| origins.into_iter().map(|origin| origin.0).collect()),
            max_message: settings.read::<Size>("max_message")?.0,
            max_publish: settings.read::<Size>("max_publish")?.0,
            connection_init_timeout: settings.read::<Interval>("connection_init_timeout")?.0,
            ping_interval: settings.read::<Interval>("ping_interval")?.0,
            pong_timeout: settings.read::<Interval>("pong_timeout")?.0,
            runtime_dir: settings.given_path("runtime_dir", folder)?,
        })
    }
}

impl Auth {
    pub(super) fn read(settings: &Settings, environment: &Environment) -> Result<Self, ConfigError> {
        let (anonymous, jwt) = (settings.read::<bool>("anonymous")?, Jwt::read(settings, environment)?);
        if !anonymous && jwt.is_none() {
            let problem =
                "nobody could connect: name a secret in jwt = { secret_env = \"…\" }, or allow anonymous clients";
            return Err(settings.wrong("anonymous", problem.to_owned()));
        }
        Ok(Self { anonymous, jwt, tenant_claim: settings.read("claims.tenant")? })
    }
}

impl Jwt {
    fn read(settings: &Settings, environment: &Environment) -> Result<Option<Self>, ConfigError> {
        let algorithms = settings.read::<Vec<Algorithm>>("jwt.algorithms")?;
        if algorithms.is_empty() {
            return Err(settings.wrong("jwt.algorithms", "no token could be accepted; use [\"HS256\"]".to_owned()));
        }
        let leeway: Duration = settings.read("jwt.leeway")?;
        if leeway.subsec_nanos() != 0 {
            return Err(settings.wrong("jwt.leeway", format!("expected whole seconds, found {leeway:?}")));
        }
        let require_exp = settings.read("jwt.require_exp")?;
        let (issuer, audience) = (settings.given("jwt.issuer")?, settings.given("jwt.audience")?);
        let Some(variable) = settings.given::<String>("jwt.secret_env")? else {
            // Half a description of tokens: taken for none, it would refuse every token without a word.
            return match settings.first_given(&[
                "jwt.algorithms",
                "jwt.issuer",
                "jwt.audience",
                "jwt.leeway",
                "jwt.require_exp",
            ]) {
                None => Ok(None),
                Some(key) => Err(ConfigError::Missing {
                    place: settings.place(key),
                    key: "jwt.secret_env",
                    hint: "name the environment variable that holds the secret, for example secret_env = \"SUBCAST_JWT_SECRET\"",
                }),
            };
        };
        let secret = environment.secret(settings.place("jwt.secret_env"), variable, HS256_SECRET)?;
        Ok(Some(Self { secret, issuer, audience, leeway, require_exp }))
    }
}

impl Limits {
    pub(super) fn read(settings: &Settings) -> Result<Self, ConfigError> {
        Ok(Self {
            subscriptions_per_connection: settings.read::<Count>("subscriptions_per_connection")?.0,
            subscriptions_per_subject: settings.read::<Count>("subscriptions_per_subject")?.0,
            connections: settings.read::<Count>("connections")?.0,
            depth: settings.read::<Count>("depth")?.0,
            document_bytes: settings.read::<Size>("document.bytes")?.0,
            document_tokens: settings.read::<Count>("document.tokens")?.0,
            document_fields: settings.read::<Count>("document.fields")?.0,
            arguments: settings.read::<Size>("arguments")?.0,
            bytes_per_connection: settings.read::<Size>("bytes_per_connection")?.0,
            bytes_per_subject: settings.read::<Size>("bytes_per_subject")?.0,
            introspection: settings.read("introspection")?,
        })
    }
}

impl Telemetry {
    pub(super) fn read(settings: &Settings) -> Result<Self, ConfigError> {
        Ok(Self { log: settings.read::<LogDirectives>("log")?.0, log_format: settings.read("log_format")? })
    }
}

impl Admin {
    /// `file` is the configuration file, if there is one.
    pub(super) fn read(
        settings: &Settings,
        environment: &Environment,
        file: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        let folder = file.and_then(Path::parent).unwrap_or(Path::new(""));
        let given = settings.given_path("store", folder)?;
        // One for each file: hosts with configurations of their own must not meet in it.
        let beside = || Some(folder.join(".subcast").join(file?.file_stem()?));
        Ok(Self {
            token: token(settings, environment)?,
            store: given.or_else(beside),
            versions: settings.read::<Count>("versions")?.0,
            upload_timeout: settings.read::<Interval>("upload_timeout")?.0,
            trusted_keys: settings.given("trusted_keys")?.unwrap_or_default(),
        })
    }
}

impl Setting for TrustedKey {
    const EXPECTED: &'static str = "a public ed25519 key";

    fn from_text(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

pub(super) fn outbox(settings: &Settings) -> Result<outbox::Limits, ConfigError> {
    Ok(outbox::Limits {
        messages: settings.read::<Count>("outbox.messages")?.0,
        bytes: settings.read::<Size>("outbox.bytes")?.0,
        policy: settings.read("slow_consumer")?,
    })
}

impl Publish {
    pub(super) fn read(settings: &Settings, environment: &Environment) -> Result<Self, ConfigError> {
        let (token, anonymous) = (token(settings, environment)?, settings.read("anonymous")?);
        if anonymous && token.is_some() {
            let problem = "everybody may publish, and token_env asks for a token: remove one of the two";
            return Err(settings.wrong("anonymous", problem.to_owned()));
        }
        Ok(Self { token, anonymous })
    }
}

/// The secret that `token_env` names.
fn token(settings: &Settings, environment: &Environment) -> Result<Option<Secret>, ConfigError> {
    let variable = settings.given("token_env")?;
    variable.map(|variable| environment.token(settings.place("token_env"), variable, TOKEN)).transpose()
}

pub(super) fn sandbox(settings: &Settings, folder: &Path) -> Result<sandbox::Config, ConfigError> {
    let mut config =
        sandbox::Config { instances: settings.read::<Count>("instances")?.0, ..sandbox::Config::default() };
    if let Some(threads) = settings.given::<Count>("threads")? {
        config.threads = threads.0;
    }
    if let Some(path) = settings.given_path("cache_dir", folder)? {
        config.cache_dir = Some(path);
    }
    config.cache_bytes = settings.read::<Size>("cache_size")?.0 as u64;
    Ok(config)
}

impl LogFormat {
    /// As it is written in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl Choice for LogFormat {
    const NAMES: &'static [(&'static str, Self)] = &[(Self::Text.name(), Self::Text), (Self::Json.name(), Self::Json)];
}

impl Choice for BusKind {
    const NAMES: &'static [(&'static str, Self)] = &[("memory", Self::Memory)];
    const LATER: &'static [&'static str] = &["redis", "postgresql"];
}

impl Choice for Algorithm {
    const NAMES: &'static [(&'static str, Self)] = &[("HS256", Self::Hs256)];
    const LATER: &'static [&'static str] =
        &["HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
}

impl Choice for SlowConsumer {
    const NAMES: &'static [(&'static str, Self)] =
        &[("close", Self::Close), ("drop-oldest", Self::DropOldest), ("keep-latest", Self::KeepLatest)];
}
