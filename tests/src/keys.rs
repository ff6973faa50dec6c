//! RSA key pairs that are made for one run, and tokens signed with them: good ones and bad ones.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// An RSA key pair in PEM.
#[derive(Clone)]
pub struct Keys {
    /// The private key (PKCS #8).
    pub private: String,
    /// The public key (SubjectPublicKeyInfo).
    pub public: String,
}

impl Keys {
    /// A new key pair.
    ///
    /// # Panics
    /// When the system has no randomness.
    pub fn generate() -> Keys {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("there is randomness");
        let private: Pkcs8V1Der<'_> = pair.as_der().expect("a new key can be written");
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("a new key can be written");
        let pem = |tag: &str, der: &[u8]| pem::encode(&pem::Pem::new(tag, der));
        Keys { private: pem("PRIVATE KEY", private.as_ref()), public: pem("PUBLIC KEY", public.as_ref()) }
    }

    /// A token with these claims.
    ///
    /// # Panics
    /// Never, with keys from [`Keys::generate`].
    pub fn sign(&self, claims: &Value) -> String {
        let key = EncodingKey::from_rsa_pem(self.private.as_bytes()).expect("our own key");
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), claims, &key).expect("claims are plain data")
    }

    /// The same, of the key of this name.
    ///
    /// # Panics
    /// As [`sign`](Keys::sign).
    pub fn sign_as(&self, kid: &str, claims: &Value) -> String {
        let key = EncodingKey::from_rsa_pem(self.private.as_bytes()).expect("our own key");
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, claims, &key).expect("claims are plain data")
    }

    /// A token of a supreme user that is good for an hour.
    pub fn supreme(&self) -> String {
        self.sign(&claims())
    }
}

/// The claims of a supreme user's token that is good for an hour: change what a test is about.
pub fn claims() -> Value {
    json!({ "user": { "id": "tester" }, "isSupreme": true, "iss": "titan-lib", "exp": now() + 3600 })
}

/// Seconds since 1970.
///
/// # Panics
/// When the clock is before that.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}
