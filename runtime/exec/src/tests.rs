//! The engine under test: small kinds that misbehave on request, in graphs of every shape.

mod kinds;
mod runs;
mod streams;
