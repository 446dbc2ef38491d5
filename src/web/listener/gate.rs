//! Who is let in: TLS and passwords as the configuration in force has them, and what was made of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use headers::authorization::Basic;
use headers::{Authorization, HeaderMapExt};
use rustls::ServerConfig;

use crate::config::active::ActiveConfig;
use crate::config::{Served, Tls, Web};
use crate::web::api;

use super::guard::Caller;
use super::passwords::{Passwords, Verdict};

/// Timed to anybody, for what asks whether the agent lives: it tells nothing else.
const OPEN: [&str; 2] = ["/-/healthy", "/-/ready"];

/// Most bytes of the body of a request: there is no route that reads one.
const BODY_BYTES: u64 = 16 << 10;

/// When it is worth another try.
const AGAIN: Duration = Duration::from_secs(5);

/// What the listener asks of its clients.
pub(in crate::web) struct Gate {
    current: Arc<ActiveConfig>,
    terms: ArcSwap<Terms>,
    /// Whether the listener can be reached from this host alone.
    loopback: bool,
    prefix: Arc<str>,
}

/// One configuration of the listener, and what was made of it.
pub(in crate::web) struct Terms {
    pub(in crate::web) web: Arc<Web>,
    pub(in crate::web) certificates: Option<Certificates>,
    passwords: Passwords,
}

/// What a connection has shown of its client.
#[derive(Clone, Copy, Debug)]
pub(in crate::web) struct Connected {
    /// A certificate, verified.
    pub(in crate::web) certificate: bool,
    /// Whether it stands on one of the last places, which are kept for who asks whether the agent lives.
    pub(in crate::web) crowded: bool,
}

impl Gate {
    pub(in crate::web) fn new(
        current: Arc<ActiveConfig>,
        loopback: bool,
        prefix: Arc<str>,
    ) -> Self {
        let terms = ArcSwap::from_pointee(Terms::new(&current.get().config.web));
        Self {
            current,
            terms,
            loopback,
            prefix,
        }
    }

    /// The terms in force. The same as before unless a reload has changed them.
    pub(in crate::web) fn terms(&self) -> Arc<Terms> {
        let web = &self.current.get().config.web;
        let terms = self.terms.load_full();
        if terms.web == *web {
            return terms;
        }
        let terms = Arc::new(Terms::new(web));
        self.terms.store(Arc::clone(&terms));
        terms
    }

    /// Who sends a request; none where that makes no difference.
    async fn judge(
        &self,
        terms: &Terms,
        request: &Parts,
        length: u64,
    ) -> Result<Option<Caller>, Refusal> {
        let connected = request.extensions.get::<Connected>();
        if length > BODY_BYTES {
            return Err(Refusal::TooLarge);
        }
        if self.is_open(request.uri.path()) {
            return Ok(None);
        }
        if connected.is_none_or(|connected| connected.crowded) {
            return Err(Refusal::Busy("there are too many connections; come again"));
        }
        let certificate = connected.is_some_and(|connected| connected.certificate);
        let caller = terms.caller(certificate, &request.headers).await?;
        Ok(caller.or(Some(Caller::Anybody {
            loopback: self.loopback,
        })))
    }

    fn is_open(&self, path: &str) -> bool {
        let under_prefix = path.strip_prefix(&*self.prefix).unwrap_or(path);
        OPEN.contains(&path) || OPEN.contains(&under_prefix)
    }
}

impl Terms {
    fn new(web: &Arc<Web>) -> Self {
        Self {
            certificates: web.tls.clone().map(Certificates::new),
            passwords: Passwords::new(Arc::clone(web)),
            web: Arc::clone(web),
        }
    }

    /// Who sends a request with these headers, from a client that has shown a certificate or not.
    async fn caller(
        &self,
        certificate: bool,
        headers: &HeaderMap,
    ) -> Result<Option<Caller>, Refusal> {
        if self.web.users.is_empty() {
            let asks = self.web.tls.as_ref().is_some_and(Tls::takes_certificates);
            return Ok(asks.then_some(if certificate {
                Caller::Known
            } else {
                Caller::Nobody
            }));
        }
        let Some(Authorization(basic)) = headers.typed_get::<Authorization<Basic>>() else {
            return Err(Refusal::Unknown("a user name and a password are needed"));
        };
        let (user, password) = (basic.username(), basic.password());
        match self.passwords.check(user, password).await {
            Verdict::Right => Ok(Some(Caller::Known)),
            Verdict::Wrong => Err(Refusal::Unknown("the user name or the password is wrong")),
            Verdict::Busy => Err(Refusal::Busy(
                "too many passwords are being checked; try again",
            )),
        }
    }
}

/// Why a request is not let in.
enum Refusal {
    Unknown(&'static str),
    Busy(&'static str),
    TooLarge,
}

/// Lets in who is known where that is asked for, and tells the routes who it is; adds the headers that are configured.
pub(in crate::web) async fn pass(
    State(gate): State<Arc<Gate>>,
    request: Request,
    next: Next,
) -> Response {
    let terms = gate.terms();
    let (mut head, body) = request.into_parts();
    let length = body.size_hint().lower();
    let mut answer = match gate.judge(&terms, &head, length).await {
        Ok(caller) => {
            if let Some(caller) = caller {
                head.extensions.insert(caller);
            }
            next.run(Request::from_parts(head, body)).await
        }
        Err(refusal) => refused(&refusal, head.uri.path().contains("/api/")),
    };
    for (name, value) in &terms.web.headers {
        answer.headers_mut().insert(name, value.clone());
    }
    answer
}

/// The answer to who is not let in, in the form of the API where that is asked.
fn refused(refusal: &Refusal, api: bool) -> Response {
    match refusal {
        Refusal::Unknown(why) => {
            let mut answer = if api {
                api::unauthorized(why)
            } else {
                (StatusCode::UNAUTHORIZED, format!("{why}\n")).into_response()
            };
            let challenge =
                HeaderValue::from_static("Basic realm=\"convex-peer-monitor\", charset=\"UTF-8\"");
            answer
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
            answer
        }
        Refusal::Busy(why) if api => api::busy(AGAIN, why),
        Refusal::Busy(why) => (
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::RETRY_AFTER, AGAIN.as_secs().to_string())],
            format!("{why}\n"),
        )
            .into_response(),
        Refusal::TooLarge => {
            let why = format!("the body of a request has at most {BODY_BYTES} bytes");
            if api {
                api::too_large(why)
            } else {
                (StatusCode::PAYLOAD_TOO_LARGE, why + "\n").into_response()
            }
        }
    }
}

/// Certificate and key as their files hold them: looked at for each connection, as they may be replaced at any time.
pub(in crate::web) struct Certificates {
    tls: Arc<Tls>,
    newest: Mutex<Newest>,
}

struct Newest {
    served: Served,
    /// What is wrong with the files since then, told once.
    wrong: Option<String>,
}

impl Certificates {
    fn new(tls: Tls) -> Self {
        let newest = Newest {
            served: tls.first().clone(),
            wrong: None,
        };
        Self {
            tls: Arc::new(tls),
            newest: Mutex::new(newest),
        }
    }

    /// What is served to a connection now. Files that cannot be used leave in force what they held before.
    pub(in crate::web) async fn server(&self) -> Arc<ServerConfig> {
        let (tls, known) = (Arc::clone(&self.tls), self.newest().served.clone());
        // From disk, which may hang: not on the threads that poll.
        let renewed = tokio::task::spawn_blocking(move || tls.renewed(&known)).await;
        let mut newest = self.newest();
        match renewed {
            Ok(Ok(None)) => newest.wrong = None,
            Ok(Ok(Some(served))) => {
                tracing::info!("the certificate of the listener is replaced");
                *newest = Newest {
                    served,
                    wrong: None,
                };
            }
            Ok(Err(why)) if newest.wrong.as_ref() == Some(&why) => {}
            Ok(Err(why)) => {
                tracing::error!(%why, "the certificate of the listener cannot be replaced; the one before is served on");
                newest.wrong = Some(why);
            }
            Err(error) => tracing::error!(%error, "the files of the certificate were not read"),
        }
        newest.served.server()
    }

    fn newest(&self) -> std::sync::MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
