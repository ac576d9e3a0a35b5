//! What wit-bindgen makes of the contract, `sdk/wit`. The worlds are taken in parts, each of which becomes a section of a
//! plugin only by its export macro: `about`, and what the role exports. The names of generated macros are of the whole crate, so
//! that no interface can be in two parts. Types and imports are those of the first one.
#![allow(missing_docs, unsafe_code, clippy::all, clippy::allow_attributes_without_reason, reason = "generated")]

pub mod about {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package selvedge:guest-about;
            world about-part {
                import selvedge:plugin/rows@0.1.1;
                import selvedge:plugin/logging@0.1.1;
                import selvedge:plugin/counters@0.1.1;
                import selvedge:plugin/clock@0.1.1;
                import selvedge:plugin/secrets@0.1.1;
                import selvedge:plugin/batches@0.1.1;
                export selvedge:plugin/about@0.1.1;
            }
        ",
        world: "selvedge:guest-about/about-part",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "__export_about_part",
        default_bindings_module: "selvedge_guest::bindings::about",
        additional_derives: [PartialEq],
    });
}

pub mod transform {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package selvedge:guest-transform;
            world transform-part {
                export selvedge:plugin/transform-node@0.1.1;
            }
        ",
        world: "selvedge:guest-transform/transform-part",
        with: { "selvedge:plugin/types@0.1.1": super::about::selvedge::plugin::types },
        generate_all,
        pub_export_macro: true,
        export_macro_name: "__export_transform_part",
        default_bindings_module: "selvedge_guest::bindings::transform",
        additional_derives: [PartialEq],
    });
}

pub mod source {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package selvedge:guest-source;
            world source-part {
                export selvedge:plugin/source-node@0.1.1;
            }
        ",
        world: "selvedge:guest-source/source-part",
        with: { "selvedge:plugin/types@0.1.1": super::about::selvedge::plugin::types },
        generate_all,
        pub_export_macro: true,
        export_macro_name: "__export_source_part",
        default_bindings_module: "selvedge_guest::bindings::source",
        additional_derives: [PartialEq],
    });
}

pub mod sink {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package selvedge:guest-sink;
            world sink-part {
                export selvedge:plugin/sink-node@0.1.1;
            }
        ",
        world: "selvedge:guest-sink/sink-part",
        with: { "selvedge:plugin/types@0.1.1": super::about::selvedge::plugin::types },
        generate_all,
        pub_export_macro: true,
        export_macro_name: "__export_sink_part",
        default_bindings_module: "selvedge_guest::bindings::sink",
        additional_derives: [PartialEq],
    });
}

pub use about::selvedge::plugin::{batches, clock, counters, logging, rows, secrets, types};
pub use source::exports::selvedge::plugin::source_node::Next;
