//! Schema files: what a crawl found, as RON for git; merged, compared, and read by sources.
//!
//! ```text
//!  data ──crawl──► Found ──Drift──► SchemaFile ──text──► schemas/NAME.ron
//!                                                             │ Declared
//!                           types on every edge ◄── source ◄──┘
//! ```

mod declared;
mod drift;
mod file;
mod found;
mod guard;
mod text;

pub use declared::{Declared, Known};
pub use drift::{Drift, Update};
pub use file::SchemaFile;
pub use found::{Extent, Found, FoundColumn, type_of};
pub use guard::{Guard, Watched};
pub use text::type_text;
