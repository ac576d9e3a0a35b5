//! What `bindgen!` makes of the contract, `sdk/wit`. All three worlds are taken as one, so that they share their types; a
//! plugin is asked for the interfaces of its own world only.

wasmtime::component::bindgen!({
    path: "../../sdk/wit",
    inline: "
        package selvedge:host;
        world host {
            include selvedge:plugin/transform@0.1.1;
            include selvedge:plugin/source@0.1.1;
            include selvedge:plugin/sink@0.1.1;
        }
    ",
    world: "selvedge:host/host",
    ownership: Borrowing { duplicate_if_necessary: true },
    imports: { default: trappable },
});
