//! The DataFusion session that the SQL of graphs is planned and run in.
use crate::apart::Apart;
use crate::bounds;
use datafusion::execution::context::ExecutionProps;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;
use std::sync::{Arc, LazyLock};

/// SQL as graphs write it: names stay as written, text is `Utf8`, plans know where their parts stood.
pub(crate) fn config() -> SessionConfig {
    let mut config = SessionConfig::new().with_target_partitions(1).with_information_schema(false);
    let options = config.options_mut();
    options.sql_parser.enable_ident_normalization = false;
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.collect_spans = true;
    config
}

pub(crate) fn state(config: SessionConfig, runtime: Arc<RuntimeEnv>) -> SessionState {
    let builder = SessionStateBuilder::new().with_config(config).with_runtime_env(runtime).with_default_features();
    bounds::install(builder).with_analyzer_rule(Arc::new(Apart)).build()
}

/// Plans expressions; runs nothing.
pub(crate) fn planner() -> &'static SessionState {
    static STATE: LazyLock<SessionState> = LazyLock::new(|| state(config(), Arc::new(RuntimeEnv::default())));
    &STATE
}

/// `now()` is one instant for everything that one process plans, as it is for one SQL statement.
pub(crate) fn props() -> &'static ExecutionProps {
    static PROPS: LazyLock<ExecutionProps> = LazyLock::new(|| {
        let mut props = ExecutionProps::new();
        props.mark_start_execution(planner().config_options().clone());
        props
    });
    &PROPS
}
