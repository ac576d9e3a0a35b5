//! A call into a plugin with nothing around it: no batch, no account of rows, no deadline set anew. What is left is wasmtime's.

use std::path::Path;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store};

wasmtime::component::bindgen!({ path: "../../sdk/wit", world: "selvedge:plugin/transform" });

/// Calls `finish` of a map, which answers at once. The engine is set as for plugins.
pub fn finish(component: &Path) -> impl FnMut() + use<> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.concurrency_support(false);
    let engine = Engine::new(&config).expect("an engine");
    let component = Component::from_file(&engine, component).expect("a component");
    let mut linker = Linker::new(&engine);
    linker.define_unknown_imports_as_traps(&component).expect("imports that nobody calls");
    let mut store = Store::new(&engine, ());
    store.set_epoch_deadline(1);
    let plugin = Transform::instantiate(&mut store, &component, &linker).expect("a transform");
    let task = selvedge::plugin::types::Task {
        graph: String::new(),
        node: String::new(),
        run: String::new(),
        instance: 0,
        instances: 1,
    };
    let node = plugin.selvedge_plugin_transform_node().clone();
    node.call_open(&mut store, r#"{"op": "nothing"}"#, &[], &task).expect("a call").expect("settings");
    move || assert!(matches!(node.call_finish(&mut store), Ok(Ok(false))))
}
