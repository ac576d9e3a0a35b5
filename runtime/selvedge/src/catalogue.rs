//! Every kind of node there is: the lists of the node crates, put together.

use crate::connectors::All;
use selvedge_plan::Catalogue;

pub fn catalogue(plugins: selvedge_wasm::Settings) -> Catalogue {
    let lists = [
        selvedge_sources::kinds::<All>(),
        selvedge_generate::kinds(),
        selvedge_tables::kinds::<All>(),
        selvedge_transforms::kinds(),
        selvedge_keyed::kinds(),
        selvedge_text::kinds(),
        selvedge_sql::kinds(),
        selvedge_sinks::kinds::<All>(),
        selvedge_wasm::kinds(plugins),
    ];
    Catalogue::new(lists.into_iter().flatten().collect())
}
