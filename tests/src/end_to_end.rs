//! End-to-end tests: the real binary, real files, and the rules that the house keeps.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod aws;
mod bad_input;
mod bookmarks;
mod catalogue;
mod crawl;
mod doctor;
mod exit_codes;
mod faults;
mod graph_tests;
mod graphs;
mod harness;
mod kills;
mod objects;
mod orc;
mod plugin_tools;
mod plugins;
mod plugins_js;
mod plugins_keyed;
mod plugins_python;
mod random;
mod reload;
mod resume;
mod services;
mod stop;
mod streams;
mod tidy;
mod toolchain;
mod upgrade;
