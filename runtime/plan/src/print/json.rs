//! The plan as JSON, for tools: stable field names.

use super::spread;
use crate::{Plan, Schedule};
use arrow::datatypes::Schema;
use petgraph::visit::EdgeRef;
use serde_json::{Value, json};

pub fn json(plan: &Plan, schedule: &Schedule) -> String {
    let nodes: Vec<Value> = plan
        .in_order()
        .into_iter()
        .map(|n| {
            let node = &plan.graph[n];
            json!({
                "name": node.name,
                "kind": node.kind,
                "role": format!("{:?}", node.role).to_lowercase(),
                "stage": schedule.stage_of[n.index()],
                "instances": schedule.instances(n),
                "partitioning": spread(node),
                "ordered": node.ordered,
                "unbounded": node.unbounded,
                "may_reject": node.may_reject,
                "errors_read": plan.is_read(n, node.errors()),
                "notes": node.notes,
                "outputs": node.outputs.iter().map(|o| json!({"port": o.name, "schema": schema(&o.schema)})).collect::<Vec<_>>(),
            })
        })
        .collect();
    let edges: Vec<Value> = plan
        .graph
        .edge_references()
        .map(|e| {
            let (from, to) = (&plan.graph[e.source()], &plan.graph[e.target()]);
            json!({
                "from": from.name,
                "output": from.outputs[e.weight().from].name,
                "to": to.name,
                "input": to.inputs[e.weight().to].port,
                "delivery": format!("{:?}", schedule.delivery(e.id())).to_lowercase(),
            })
        })
        .collect();
    let all = json!({
        "plan_version": 1,
        "graph": plan.name,
        "about": plan.about,
        "profile": plan.profile,
        "unbounded": plan.unbounded(),
        "nodes": nodes,
        "edges": edges,
    });
    serde_json::to_string_pretty(&all).unwrap_or_default()
}

fn schema(schema: &Schema) -> Vec<Value> {
    let field = |f: &arrow::datatypes::FieldRef| json!({"name": f.name(), "type": f.data_type().to_string(), "nullable": f.is_nullable()});
    schema.fields().iter().map(field).collect()
}
