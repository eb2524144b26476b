//! `spore ps`.

use super::Context;
use crate::args::Output;
use crate::failure::Failure;
use crate::output::{left, right, table};
use crate::print;
use crate::units::{age, bytes};
use gateway::api::VmList;
use worker::api::VmInfo;

/// Lists the live VMs.
pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let list: VmList = context.client.get("/v1/vms").await?;
    if context.output == Output::Json {
        return print::json(&list);
    }
    if list.vms.is_empty() {
        print::note("no live VMs");
        return Ok(());
    }
    let columns = [
        left("ID"),
        left("FUNCTION"),
        right("PID"),
        left("STATE"),
        right("AGE"),
        right("SERVED"),
        right("SHARED"),
        right("PRIVATE"),
        right("PSS"),
    ];
    print::line(&table(&columns, list.vms.iter().map(row)))
}

fn row(vm: &VmInfo) -> Vec<String> {
    vec![
        vm.id.clone(),
        vm.function.clone(),
        vm.pid.to_string(),
        vm.state.clone(),
        age(vm.age_seconds),
        vm.served.to_string(),
        bytes(vm.shared_bytes),
        bytes(vm.private_bytes),
        bytes(vm.pss_bytes),
    ]
}
