//! Authentication of requests by password or client certificate, and the limits that apply before
//! any route is reached. Remembers which clients were let in, for whom places are kept.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use headers::authorization::Basic;
use headers::{Authorization, HeaderMapExt};
use url::Url;

use crate::config::active::ActiveConfig;
use crate::config::{Tls, Web};

use super::authorization::{Caller, User};
use super::certificates::Certificates;
use super::client::{Client, RecentClients};
use super::connection::{CloseConnection, ConnectionInfo};
use super::host;
use super::passwords::{PasswordCheck, Passwords};
use super::rate_limiter::RateLimiter;

/// Routes answered without authentication, for health checks. They disclose nothing else.
const PUBLIC_PATHS: [&str; 2] = ["/-/healthy", "/-/ready"];

/// What a scraper requests. Without authentication its client is known by that.
const METRICS_PATH: &str = "/metrics";

/// Number of clients remembered because they were let in.
const KNOWN_CLIENTS: usize = 1024;

/// Maximum size of a request body in bytes.
pub(in crate::web) const MAX_BODY_BYTES: u64 = 16 << 10;

/// When clients may retry a request that was refused because of load.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The `WWW-Authenticate` header of a 401 response.
const CHALLENGE: &str = "Basic realm=\"convex-peer-monitor\", charset=\"UTF-8\"";

/// Formats the response to a refused request, given the request's path.
pub(in crate::web) type FormatRefusal = fn(path: &str, refusal: Refusal) -> Response;

/// Decides which requests reach the routes, by the active configuration.
pub(in crate::web) struct Authenticator {
    active_config: Arc<ActiveConfig>,
    policy: ArcSwap<ListenerPolicy>,
    /// Whether the listener can be reached from this host only.
    is_loopback: bool,
    prefix: Arc<str>,
    format_refusal: FormatRefusal,
    /// Clients that were let in before.
    known: Arc<RecentClients>,
}

/// One `web` configuration, with what was derived from it.
pub(in crate::web) struct ListenerPolicy {
    pub(super) web: Arc<Web>,
    pub(super) certificates: Option<Certificates>,
    passwords: Passwords,
    rate_limiter: Option<RateLimiter>,
}

/// Why a request is refused before it reaches a route.
pub(in crate::web) struct Refusal {
    pub(in crate::web) status: StatusCode,
    pub(in crate::web) reason: Cow<'static, str>,
    pub(in crate::web) retry_after: Option<Duration>,
}

impl Authenticator {
    pub(in crate::web) fn new(
        active_config: Arc<ActiveConfig>,
        is_loopback: bool,
        prefix: Arc<str>,
        format_refusal: FormatRefusal,
    ) -> Self {
        let known = Arc::new(RecentClients::new(KNOWN_CLIENTS));
        let policy = ListenerPolicy::new(&active_config.get().config.web, &known);
        let policy = ArcSwap::from_pointee(policy);
        Self {
            active_config,
            policy,
            is_loopback,
            prefix,
            format_refusal,
            known,
        }
    }

    /// Returns the clients that were let in before.
    pub(super) fn known_clients(&self) -> Arc<RecentClients> {
        Arc::clone(&self.known)
    }

    /// Returns the active policy: the same one as before unless a reload changed it.
    pub(super) fn policy(&self) -> Arc<ListenerPolicy> {
        let web = &self.active_config.get().config.web;
        let policy = self.policy.load_full();
        if policy.web == *web {
            return policy;
        }
        if web.requires_authentication() && !policy.web.requires_authentication() {
            // Anyone could become known until now.
            self.known.clear();
        }
        let policy = Arc::new(ListenerPolicy::new(web, &self.known));
        self.policy.store(Arc::clone(&policy));
        policy
    }

    /// Identifies the caller of a request; `None` for public routes.
    async fn authenticate(
        &self,
        policy: &ListenerPolicy,
        request: &Parts,
        body_bytes: u64,
    ) -> Result<Option<Caller>, Refusal> {
        if self.is_loopback {
            self.check_host(request)?;
        }
        if body_bytes > MAX_BODY_BYTES {
            return Err(Refusal::body_too_large());
        }
        if self.is_public(request.uri.path()) {
            return Ok(None);
        }
        // Before passwords, whose checks are expensive.
        if let Some(limiter) = &policy.rate_limiter {
            limiter.take().map_err(Refusal::too_many_requests)?;
        }
        let connection = request.extensions.get::<ConnectionInfo>();
        let Some(connection) = connection.filter(|connection| !connection.is_overflow) else {
            return Err(Refusal::overloaded("too many connections; try again later"));
        };
        let caller = policy.caller(connection, &request.headers).await?;
        if caller == Some(Caller::Authenticated) {
            connection.set_authenticated();
            self.known.add(connection.client);
        }
        Ok(caller.or(Some(Caller::AuthDisabled {
            is_loopback: self.is_loopback,
        })))
    }

    /// Refuses names that are not this host's: a page of a foreign name that resolves to this host
    /// could read everything (DNS rebinding).
    fn check_host(&self, request: &Parts) -> Result<(), Refusal> {
        let config = &self.active_config.get().config;
        let external = config.external_url.as_ref();
        if host::is_own(request, external.and_then(Url::host_str)) {
            Ok(())
        } else {
            Err(Refusal::misdirected())
        }
    }

    fn is_public(&self, path: &str) -> bool {
        PUBLIC_PATHS.iter().any(|public| self.is_at(path, public))
    }

    /// Whether `path` is that of `route`, with or without the prefix.
    fn is_at(&self, path: &str, route: &str) -> bool {
        path == route || path.strip_prefix(&*self.prefix) == Some(route)
    }

    /// Remembers a client that was let in without authentication, by what a scraper requests.
    fn remember_scraper(&self, connection: &ConnectionInfo, path: &str, response: &Response) {
        if response.status().is_success() && self.is_at(path, METRICS_PATH) {
            self.known.add(connection.client);
        }
    }
}

impl ListenerPolicy {
    fn new(web: &Arc<Web>, known: &Arc<RecentClients>) -> Self {
        Self {
            certificates: web.tls.clone().map(Certificates::new),
            passwords: Passwords::new(Arc::clone(web), Arc::clone(known)),
            rate_limiter: web.rate_limit.map(RateLimiter::new),
            web: Arc::clone(web),
        }
    }

    /// Returns the user of an authenticated request; none where passwords are not required, so that
    /// nothing shows whose the name is.
    fn user(&self, headers: &HeaderMap) -> Option<User> {
        let has_password = !self.web.users.is_empty();
        let Authorization(basic) = headers.typed_get::<Authorization<Basic>>()?;
        has_password.then(|| User(basic.username().to_owned()))
    }

    /// Identifies the caller by its certificate or by the password in `headers`; `None` where
    /// authentication is not configured.
    async fn caller(
        &self,
        connection: &ConnectionInfo,
        headers: &HeaderMap,
    ) -> Result<Option<Caller>, Refusal> {
        if self.web.users.is_empty() {
            if matches!(connection.client, Client::User(_)) {
                return Ok(None);
            }
            let accepts_certificates = self.web.tls.as_ref().is_some_and(Tls::accepts_certificates);
            return Ok(
                accepts_certificates.then_some(if connection.has_client_certificate {
                    Caller::Authenticated
                } else {
                    Caller::Anonymous
                }),
            );
        }
        let Some(Authorization(basic)) = headers.typed_get::<Authorization<Basic>>() else {
            return Err(Refusal::unauthorized("user name and password required"));
        };
        let (user, password) = (basic.username(), basic.password());
        match self
            .passwords
            .check(connection.client, user, password)
            .await
        {
            PasswordCheck::Correct => Ok(Some(Caller::Authenticated)),
            PasswordCheck::Wrong => Err(Refusal::unauthorized("wrong user name or password")),
            PasswordCheck::Overloaded => Err(Refusal::overloaded(
                "too many password checks in progress; try again later",
            )),
        }
    }
}

impl Refusal {
    fn unauthorized(reason: &'static str) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            reason: reason.into(),
            retry_after: None,
        }
    }

    fn overloaded(reason: &'static str) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            reason: reason.into(),
            retry_after: Some(RETRY_AFTER),
        }
    }

    fn too_many_requests(wait: Duration) -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            reason: "too many requests: more than `rate_limit` of web.config_file allows".into(),
            // Whole seconds are sent; 0 would be at once.
            retry_after: Some(Duration::from_secs(wait.as_secs() + 1)),
        }
    }

    fn misdirected() -> Self {
        Self {
            status: StatusCode::MISDIRECTED_REQUEST,
            reason: "the Host header does not name this host; use localhost or an IP address, or \
                     set `external_url` in the configuration to the URL that clients use"
                .into(),
            retry_after: None,
        }
    }

    fn body_too_large() -> Self {
        Self {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            reason: format!("request body too large; the limit is {MAX_BODY_BYTES} bytes").into(),
            retry_after: None,
        }
    }
}

/// Middleware: passes authenticated requests on, with their [`Caller`] as an extension, and adds
/// the configured headers to every response. Where passwords are configured, a response without
/// authentication is the last one of its connection.
pub(in crate::web) async fn require_authentication(
    State(authenticator): State<Arc<Authenticator>>,
    request: Request,
    next: Next,
) -> Response {
    let policy = authenticator.policy();
    let (mut head, body) = request.into_parts();
    let body_bytes = body.size_hint().lower();
    let connection = head.extensions.get::<ConnectionInfo>().cloned();
    let path = head.uri.path().to_owned();
    let authenticated = authenticator.authenticate(&policy, &head, body_bytes).await;
    let mut response = match authenticated {
        Ok(caller) => {
            if let Some(caller) = caller {
                head.extensions.insert(caller);
            }
            if caller == Some(Caller::Authenticated)
                && let Some(user) = policy.user(&head.headers)
            {
                head.extensions.insert(user);
            }
            next.run(Request::from_parts(head, body)).await
        }
        Err(refusal) => {
            let needs_challenge = refusal.status == StatusCode::UNAUTHORIZED;
            let mut response = (authenticator.format_refusal)(&path, refusal);
            if needs_challenge {
                let headers = response.headers_mut();
                headers.insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static(CHALLENGE),
                );
            }
            response
        }
    };
    if let Some(connection) = connection
        && !connection.is_authenticated()
    {
        if policy.web.users.is_empty() {
            authenticator.remember_scraper(&connection, &path, &response);
        } else {
            response.extensions_mut().insert(CloseConnection);
        }
    }
    for (name, value) in &policy.web.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

#[cfg(test)]
impl Authenticator {
    /// An authenticator for a loopback listener that formats refusals as their status alone.
    pub(super) fn for_tests(active_config: Arc<ActiveConfig>) -> Self {
        use axum::response::IntoResponse;
        Self::new(active_config, true, "".into(), |_, refusal| {
            refusal.status.into_response()
        })
    }
}
