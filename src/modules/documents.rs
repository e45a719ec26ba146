//! Parsed documents of one generation, cached: clients send the same few texts over and over.

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
    /// JSON object text; `None` if there are none.
    variables: Option<Box<str>>,
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
        let Parsed { document, .. } = self.parse(text)?;
        // Only what names no variables is remembered: the key must not be as large as the client likes.
        let key = variables.is_empty().then(|| format!("{}\0{text}", operation_name.unwrap_or_default()));
        if let Some(response) = key.as_ref().and_then(|key| self.responses.get(key)) {
            return Ok(Request::Response(response));
        }
        match document.prepare(operation_name, variables)? {
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

    /// The request of [`Documents::prepare`] in the form in which it is kept.
    #[must_use]
    pub fn source(&self, text: &str, operation_name: Option<&str>, variables: &Map<String, Value>) -> Source {
        let text = self.parsed.get(text).map_or_else(|| Arc::from(text), |parsed| parsed.text);
        let variables = (!variables.is_empty()).then(|| json!(variables).to_string().into());
        Source { text, operation_name: operation_name.map(Box::from), variables }
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
