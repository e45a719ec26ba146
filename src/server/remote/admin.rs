//! Looks at the modules of a host, and changes them.

use bytes::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request};
use serde_json::Value;

use super::exchange::{Credential, Exchange, refusal};
use super::{Address, AdminError};

/// An operator's view of one host.
#[derive(Debug)]
pub struct Admin {
    exchange: Exchange,
}

/// What a change may do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Permission {
    /// End subscriptions that do not fit.
    pub force: bool,
    /// Show more than before.
    pub allow_widening: bool,
}

impl Permission {
    fn query(self) -> String {
        format!("force={}&allow_widening={}", self.force, self.allow_widening)
    }
}

impl Admin {
    /// An operator who shows this credential.
    pub fn new(address: Address, credential: Credential) -> Result<Self, AdminError> {
        Ok(Self { exchange: Exchange::new(address, credential)? })
    }

    /// Deploys a component. Returns the host's report.
    pub async fn deploy(
        &mut self,
        name: &str,
        component: Bytes,
        signature: Option<&str>,
        permission: Permission,
    ) -> Result<Value, AdminError> {
        let mut request = self.request(Method::PUT, &format!("/admin/modules/{name}?{}", permission.query()));
        request = request.header(CONTENT_TYPE, "application/wasm");
        if let Some(signature) = signature {
            request = request.header("subcast-signature", signature);
        }
        self.send(request, component).await
    }

    /// Goes back to the version before, or to the kept one whose digest begins so. Returns the host's report.
    pub async fn rollback(
        &mut self,
        name: &str,
        to: Option<&str>,
        permission: Permission,
    ) -> Result<Value, AdminError> {
        let to = to.map(|digest| format!("&to={digest}")).unwrap_or_default();
        let path = format!("/admin/modules/{name}/rollback?{}{to}", permission.query());
        self.send(self.request(Method::POST, &path), Bytes::new()).await
    }

    /// All modules.
    pub async fn modules(&mut self) -> Result<Value, AdminError> {
        self.send(self.request(Method::GET, "/admin/modules"), Bytes::new()).await
    }

    fn request(&self, method: Method, path: &str) -> hyper::http::request::Builder {
        Request::builder().method(method).uri(self.exchange.address.path(path))
    }

    async fn send(&mut self, request: hyper::http::request::Builder, body: Bytes) -> Result<Value, AdminError> {
        let (status, answer) = self.exchange.send(request, body).await?;
        if status.is_success()
            && let Ok(answer) = serde_json::from_slice(&answer)
        {
            return Ok(answer);
        }
        match refusal(&answer) {
            Some(message) if !status.is_success() => Err(AdminError::Refused(self.exchange.explained(status, message))),
            _ => Err(AdminError::Unexpected { status: status.as_u16(), url: self.exchange.address.to_string() }),
        }
    }
}
