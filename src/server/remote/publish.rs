//! Publishes over `POST /events`.

use bytes::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode};
use serde::Deserialize;

use super::exchange::{Credential, Exchange, refusal};
use super::{Address, PublishError};

/// Publishes to one host, request after request over one connection.
#[derive(Debug)]
pub struct Publisher {
    exchange: Exchange,
}

#[derive(Deserialize)]
struct Accepted {
    accepted: u64,
}

impl Publisher {
    /// A publisher that shows this credential.
    pub fn new(address: Address, credential: Credential) -> Result<Self, PublishError> {
        Ok(Self { exchange: Exchange::new(address, credential)? })
    }

    /// Publishes one body: all of its events, or none. Returns how many there were.
    pub async fn publish(&mut self, content_type: &'static str, body: impl Into<Bytes>) -> Result<u64, PublishError> {
        let path = self.exchange.address.path("/events");
        let request = Request::post(path).header(CONTENT_TYPE, content_type);
        let (status, answer) = self.exchange.send(request, body.into()).await?;
        self.judge(status, &answer)
    }

    fn judge(&self, status: StatusCode, answer: &[u8]) -> Result<u64, PublishError> {
        if status == StatusCode::ACCEPTED
            && let Ok(Accepted { accepted }) = serde_json::from_slice(answer)
        {
            return Ok(accepted);
        }
        match refusal(answer) {
            Some(message) if !status.is_success() => Err(match status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    PublishError::Forbidden(self.exchange.explained(status, message))
                }
                StatusCode::PAYLOAD_TOO_LARGE => PublishError::TooLarge(message),
                _ => PublishError::Refused(message),
            }),
            _ => {
                let address = &self.exchange.address;
                let url = format!("http://{}{}", address.authority(), address.path("/events"));
                Err(PublishError::Unexpected { status: status.as_u16(), url })
            }
        }
    }
}
