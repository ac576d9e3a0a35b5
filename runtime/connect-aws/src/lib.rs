//! Who we are at AWS, and what only AWS knows.
//!
//! ```text
//! identity   the credentials of the environment, a profile, SSO, a web identity, a process, a container or an instance; refreshed
//! sign       requests of other clients (Signature Version 4)
//! secrets    `${secret:secretsmanager:…}` and `${secret:ssm:…}`
//! ```

mod identity;
mod secrets;
mod sign;
#[cfg(test)]
mod tests;

pub use identity::{Identity, identity};
pub use secrets::secret;
pub use sign::signed;
