//! Parsed documents of one generation, cached: clients send the same few texts over and over.

use std::collections::BTreeMap;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde_json::{Map, Value, json};

use crate::graphql::{Document, GraphqlError, Limits, Plan, Prepared, Schema};

/// Bounds of the cache. A parsed document takes 3 KB and more: up to a hundred times its text.
const DOCUMENTS: usize = 1_000;
const TEXT_BYTES: u64 = 512 * 1024;
const RESPONSES: usize = 64;
const RESPONSE_BYTES: u64 = 8 * 1024 * 1024;

/// Bytes of a document that is parsed, validated and compiled within a millisecond, and of one that only has to be compiled.
const QUICK: usize = 4 << 10;
const QUICK_IF_KNOWN: usize = 32 << 10;

/// Parses, validates and remembers documents; computes and remembers introspection.
#[derive(Debug)]
pub struct Documents {
    schema: Arc<Schema>,
    limits: Limits,
    parsed: Cache<Arc<str>, Parsed, BytesOfKey>,
    /// Results of queries: these can only be introspection, a function of schema, text and variables.
    responses: Cache<String, Arc<str>, BytesOfValue>,
}

/// A document with its text, which those who subscribed by it share.
#[derive(Clone, Debug)]
struct Parsed {
    text: Arc<str>,
    document: Arc<Document>,
}

/// What a client asked for, kept as text: another generation may have to plan it again.
#[derive(Debug)]
pub struct Source {
    text: Arc<str>,
    operation_name: Option<Box<str>>,
    /// JSON object text with the variables that the operation declares; `None` if there are none. As they were given:
    /// another schema may have other types and defaults for them.
    variables: Option<Box<str>>,
}

impl Source {
    fn new(parsed: &Parsed, operation_name: Option<&str>, variables: &Map<String, Value>) -> Self {
        let declared = parsed.document.declared(operation_name);
        let declared = |name: &String| declared.contains(&name.as_str());
        let kept: BTreeMap<_, _> = variables.iter().filter(|(name, _)| declared(name)).collect();
        let variables = (!kept.is_empty()).then(|| json!(kept).to_string().into());
        Self { text: Arc::clone(&parsed.text), operation_name: operation_name.map(Box::from), variables }
    }

    /// Bytes that it takes while it is kept, its document included: others may share that, and be gone first.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let text = |text: &Option<Box<str>>| text.as_deref().map_or(0, str::len);
        size_of::<Self>() + self.text.len() + text(&self.operation_name) + text(&self.variables)
    }
}

/// What a request amounts to.
#[derive(Debug)]
pub enum Request {
    /// A subscription, ready to be registered.
    Subscription(Plan),
    /// A query that is already answered: a complete `ExecutionResult`.
    Response(Arc<str>),
}

impl Documents {
    /// An empty cache for this schema.
    #[must_use]
    pub fn new(schema: Arc<Schema>, limits: Limits) -> Self {
        Self {
            schema,
            limits,
            parsed: Cache::with_weighter(DOCUMENTS, TEXT_BYTES, BytesOfKey),
            responses: Cache::with_weighter(RESPONSES, RESPONSE_BYTES, BytesOfValue),
        }
    }

    /// The plan of a subscription, or the response of a query.
    pub fn prepare(
        &self,
        text: &str,
        operation_name: Option<&str>,
        variables: &Map<String, Value>,
    ) -> Result<Request, Vec<GraphqlError>> {
        self.parse(text).and_then(|parsed| self.request(&parsed, operation_name, variables))
    }

    /// The same, and the request in the form in which it is kept for as long as a subscription lives.
    pub fn prepare_to_keep(
        &self,
        text: &str,
        operation_name: Option<&str>,
        variables: &Map<String, Value>,
    ) -> Result<(Request, Source), Vec<GraphqlError>> {
        let parsed = self.parse(text)?;
        let request = self.request(&parsed, operation_name, variables)?;
        Ok((request, Source::new(&parsed, operation_name, variables)))
    }

    fn request(
        &self,
        parsed: &Parsed,
        operation_name: Option<&str>,
        variables: &Map<String, Value>,
    ) -> Result<Request, Vec<GraphqlError>> {
        // Only what names no variables is remembered: the key must not be as large as the client likes.
        let key = variables.is_empty().then(|| response_key(&parsed.text, operation_name));
        if let Some(response) = key.as_ref().and_then(|key| self.responses.get(key)) {
            return Ok(Request::Response(response));
        }
        match parsed.document.prepare(operation_name, variables)? {
            Prepared::Subscription(plan) => Ok(Request::Subscription(plan)),
            Prepared::Response(response) => {
                let response: Arc<str> = response.into();
                if let Some(key) = key {
                    self.responses.insert(key, Arc::clone(&response));
                }
                Ok(Request::Response(response))
            }
        }
    }

    /// The plan of a subscription that another generation has accepted before.
    pub fn plan(&self, source: &Source) -> Result<Plan, Vec<GraphqlError>> {
        // It was written by us.
        let variables =
            source.variables.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        match self.prepare(&source.text, source.operation_name.as_deref(), &variables)? {
            Request::Subscription(plan) => Ok(plan),
            Request::Response(_) => Err(vec![GraphqlError::new("the operation is no subscription any more")]),
        }
    }

    /// Whether [`Documents::prepare`] takes no longer than a thread that serves sockets may: about a millisecond.
    #[must_use]
    pub fn is_quick(&self, text: &str, operation_name: Option<&str>, variables: &Map<String, Value>) -> bool {
        if asks_for_schema(text) {
            return variables.is_empty() && self.responses.peek(&response_key(text, operation_name)).is_some();
        }
        text.len() <= QUICK || (text.len() <= QUICK_IF_KNOWN && self.parsed.peek(text).is_some())
    }

    fn parse(&self, text: &str) -> Result<Parsed, Vec<GraphqlError>> {
        if let Some(parsed) = self.parsed.get(text) {
            return Ok(parsed);
        }
        let document = Arc::new(self.schema.parse(text, &self.limits)?);
        let parsed = Parsed { text: Arc::from(text), document };
        self.parsed.insert(Arc::clone(&parsed.text), parsed.clone());
        Ok(parsed)
    }
}

fn response_key(text: &str, operation_name: Option<&str>) -> String {
    format!("{}\0{text}", operation_name.unwrap_or_default())
}

/// Whether a document may select `__schema` or `__type`. `__typename` alone is no introspection.
fn asks_for_schema(text: &str) -> bool {
    text.match_indices("__").any(|(at, _)| {
        let name = &text[at..];
        name.starts_with("__schema") || (name.starts_with("__type") && !name.starts_with("__typename"))
    })
}

#[derive(Clone, Debug)]
struct BytesOfKey;

impl Weighter<Arc<str>, Parsed> for BytesOfKey {
    fn weight(&self, text: &Arc<str>, _: &Parsed) -> u64 {
        text.len().max(1) as u64
    }
}

#[derive(Clone, Debug)]
struct BytesOfValue;

impl Weighter<String, Arc<str>> for BytesOfValue {
    fn weight(&self, key: &String, response: &Arc<str>) -> u64 {
        (key.len() + response.len()).max(1) as u64
    }
}
