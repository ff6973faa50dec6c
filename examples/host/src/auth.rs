//! Who calls: RS256 tokens, checked as an extractor that a handler names in its signature.

use std::ops::Range;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use moka::sync::Cache;
use serde_json::{Map, Value, json};

use crate::config::{Jwt, Secret};
use crate::correlation;
use crate::error::ApiError;
use crate::routes::App;

/// The claims of a token, or of an anonymous caller.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) claims: Arc<Map<String, Value>>,
}

/// A caller whose token says `isSupreme: true`.
#[derive(Debug, Clone)]
pub(crate) struct Supreme;

impl Caller {
    fn anonymous() -> Self {
        let claims = Map::from_iter([
            ("user".to_owned(), json!({ "id": "anonymous" })),
            ("isSupreme".to_owned(), json!(false)),
        ]);
        Caller { claims: Arc::new(claims) }
    }

    fn is_supreme(&self) -> bool {
        self.claims.get("isSupreme") == Some(&Value::Bool(true))
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        app.verifier.caller(&parts.headers)
    }
}

impl FromRequestParts<App> for Supreme {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        if app.verifier.caller(&parts.headers)?.is_supreme() {
            return Ok(Supreme);
        }
        Err(ApiError::new(StatusCode::FORBIDDEN, "supremeUserRequired", "only a supreme user may do this"))
    }
}

/// Checks tokens.
pub(crate) struct Verifier {
    keys: Vec<Key>,
    rules: Validation,
    allow_anonymous: bool,
    good: Cache<String, Good>,
}

/// How much may be remembered of tokens. Only good ones are: nobody can fill it who is given none.
const REMEMBERED_BYTES: u64 = 16 << 20;
/// About how much a token takes for each of its characters, with its claims.
const BYTES_OF_CHARACTER: usize = 4;

/// What became of a token that was checked. Callers use one for many requests, and to check its signature is the dearest
/// step of each.
#[derive(Clone)]
struct Good {
    caller: Caller,
    /// The seconds since 1970 in which nothing can have changed: before them it is not good yet, and after them it or its
    /// key may be over.
    while_in: Range<i64>,
}

/// A key that tokens may be signed with.
struct Key {
    /// The `kid` of its tokens; None: any.
    id: Option<String>,
    key: DecodingKey,
    /// When it is over.
    until: Option<Timestamp>,
}

impl Key {
    /// `name` is that of the configuration's key, for the error.
    fn parse(
        name: &str,
        pem: &Secret,
        id: Option<&String>,
        until: Option<Timestamp>,
    ) -> Result<Self, String> {
        let pem = pem.pem();
        if pem.contains("PRIVATE KEY") {
            return Err(format!("{name} holds a private key: only the public one belongs there"));
        }
        let key = DecodingKey::from_rsa_pem(pem.as_bytes())
            .map_err(|_| format!("{name} is no RSA public key in PEM"))?;
        Ok(Key { id: id.cloned(), key, until })
    }

    /// Whether it may be the key of a token with this `kid`. A token that names none may be of any.
    fn fits(&self, id: Option<&str>) -> bool {
        let is_over = self.until.is_some_and(|until| until <= Timestamp::now());
        !is_over && id.is_none_or(|id| self.id.as_deref().is_none_or(|own| own == id))
    }
}

impl Verifier {
    /// An error is a sentence that names the key of the configuration.
    pub(crate) fn new(config: &Jwt) -> Result<Self, String> {
        let pem = config.public_key.as_ref().ok_or(
            "titan.jwt.publicKey is not set: no token could be checked (TITAN_JWT__PUBLIC_KEY, or its file in \
             TITAN_JWT__PUBLIC_KEY_FILE)",
        )?;
        let mut keys = vec![Key::parse("titan.jwt.publicKey", pem, config.key_id.as_ref(), None)?];
        if let Some(pem) = &config.previous_public_key {
            let until = config.previous_until.as_deref().map(str::parse::<Timestamp>).transpose().map_err(
                |_| "titan.jwt.previousUntil must be a moment with its zone, such as 2026-11-30T00:00:00Z",
            )?;
            let id = config.previous_key_id.as_ref();
            keys.push(Key::parse("titan.jwt.previousPublicKey", pem, id, until)?);
        }
        let mut rules = Validation::new(Algorithm::RS256);
        rules.leeway = 0;
        // The library takes a token until its second is over; it ends when that begins.
        rules.reject_tokens_expiring_in_less_than = 1;
        rules.validate_nbf = true;
        rules.set_required_spec_claims(&["exp", "iss"]);
        rules.set_issuer(&[&config.issuer]);
        rules.validate_aud = config.audience.is_some();
        if let Some(audience) = &config.audience {
            rules.set_required_spec_claims(&["exp", "iss", "aud"]);
            rules.set_audience(&[audience]);
        }
        let good = Cache::builder()
            .weigher(|token: &String, _| u32::try_from(token.len() * BYTES_OF_CHARACTER).unwrap_or(u32::MAX))
            .max_capacity(REMEMBERED_BYTES)
            .build();
        Ok(Verifier { keys, rules, allow_anonymous: config.allow_anon, good })
    }

    /// The caller of a request with these headers. Why a token is bad is nobody's business.
    fn caller(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        let caller = self.checked(headers)?;
        if let Some(id) = caller.claims.get("user").and_then(|user| user.get("id")).and_then(Value::as_str) {
            correlation::is_of(id);
        }
        Ok(caller)
    }

    fn checked(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        let unauthorized = |message| ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message);
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return if self.allow_anonymous {
                Ok(Caller::anonymous())
            } else {
                Err(unauthorized("send a token: Authorization: Bearer …"))
            };
        };
        let bad = || unauthorized("the token is not valid");
        let (scheme, token) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(bad)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(bad());
        }
        self.caller_of(token.trim()).ok_or_else(bad)
    }

    /// The caller whom a token names, if it is good now.
    fn caller_of(&self, token: &str) -> Option<Caller> {
        if let Some(good) = self.good.get(token) {
            if good.while_in.contains(&Timestamp::now().as_second()) {
                return Some(good.caller);
            }
            self.good.invalidate(token);
        }
        let id = jsonwebtoken::decode_header(token).ok()?.kid;
        let (key, claims) = self.keys.iter().filter(|key| key.fits(id.as_deref())).find_map(|key| {
            let token = jsonwebtoken::decode::<Map<String, Value>>(token, &key.key, &self.rules).ok()?;
            Some((key, token.claims))
        })?;
        let caller = Caller { claims: Arc::new(claims) };
        let key_ends = key.until.map_or(i64::MAX, Timestamp::as_second);
        let second = |claim| caller.claims.get(claim).map_or(Some(0), Value::as_i64);
        // One whose times are written in another way is checked every time.
        if let (Some(begins), Some(ends)) = (second("nbf"), second("exp")) {
            let good = Good { caller: caller.clone(), while_in: begins..ends.min(key_ends) };
            self.good.insert(token.to_owned(), good);
        }
        Some(caller)
    }
}

/// Signs tokens for development.
pub(crate) struct Signer {
    key: EncodingKey,
    key_id: Option<String>,
    issuer: String,
}

impl Signer {
    /// None without a private key; an error is a sentence that names the key of the configuration.
    pub(crate) fn new(config: &Jwt) -> Result<Option<Self>, String> {
        let Some(pem) = &config.private_key else { return Ok(None) };
        let key = EncodingKey::from_rsa_pem(pem.pem().as_bytes())
            .map_err(|_| "titan.jwt.privateKey is no RSA private key in PEM".to_owned())?;
        Ok(Some(Signer { key, key_id: config.key_id.clone(), issuer: config.issuer.clone() }))
    }

    /// A token for this user, good for some seconds.
    pub(crate) fn sign(&self, user: &str, supreme: bool, seconds: u64) -> Result<String, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|e| e.to_string())?.as_secs();
        let claims = json!({
            "user": { "id": user },
            "isSupreme": supreme,
            "iss": self.issuer,
            "iat": now,
            "exp": now.saturating_add(seconds),
        });
        let header = Header { kid: self.key_id.clone(), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, &claims, &self.key).map_err(|e| e.to_string())
    }
}
