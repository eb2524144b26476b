//! The environment a function is started with.

use super::{PlanError, Wanted};
use abi::boot::PACKAGE_DIR;

/// A variable the platform sets.
pub(super) struct Variable {
    /// Name.
    pub(super) name: &'static str,
    /// Value.
    pub(super) value: String,
    /// The user cannot set it: it says what is so, not what is wished.
    reserved: bool,
}

fn fixed(name: &'static str, value: impl Into<String>) -> Variable {
    Variable { name, value: value.into(), reserved: true }
}

pub(super) fn default(name: &'static str, value: impl Into<String>) -> Variable {
    Variable { name, value: value.into(), reserved: false }
}

pub(super) fn common_env() -> Vec<Variable> {
    vec![
        default("PATH", "/usr/local/bin:/usr/bin:/bin:/var/task"),
        default("HOME", "/tmp"),
        default("LANG", "C.UTF-8"),
        default("TZ", ":UTC"),
    ]
}

/// What AWS Lambda tells a function about itself.
fn lambda_env(wanted: &Wanted<'_>) -> Vec<Variable> {
    vec![
        fixed("_HANDLER", wanted.handler),
        fixed("LAMBDA_TASK_ROOT", PACKAGE_DIR),
        fixed("LAMBDA_RUNTIME_DIR", "/opt/spore"),
        fixed("AWS_LAMBDA_FUNCTION_NAME", wanted.name),
        fixed("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        fixed("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", (wanted.memory_bytes >> 20).to_string()),
        fixed("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start"),
        fixed("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", wanted.name)),
    ]
}

pub(super) fn python_env(wanted: &Wanted<'_>) -> Vec<Variable> {
    let mut env = lambda_env(wanted);
    env.push(fixed("AWS_EXECUTION_ENV", "Spore_python3.11"));
    // The package is read-only: looking for a place to write compiled modules would only cost time.
    env.push(default("PYTHONDONTWRITEBYTECODE", "1"));
    env
}

pub(super) fn node_env(wanted: &Wanted<'_>) -> Vec<Variable> {
    let mut env = lambda_env(wanted);
    env.push(fixed("AWS_EXECUTION_ENV", "Spore_node24"));
    env
}

pub(super) fn provided_env(wanted: &Wanted<'_>) -> Vec<Variable> {
    let mut env = lambda_env(wanted);
    env.push(fixed("AWS_LAMBDA_RUNTIME_API", format!("127.0.0.1:{}", abi::runtime_api::PORT)));
    env.push(fixed("AWS_EXECUTION_ENV", "Spore_provided"));
    // One name for all forks: the environment is that of the parent.
    env.push(fixed("AWS_LAMBDA_LOG_STREAM_NAME", wanted.name));
    // There is no account and no region; programs that ask for one are to find that they are not in AWS.
    env.push(default("AWS_REGION", "local"));
    env.push(default("AWS_DEFAULT_REGION", "local"));
    env
}

pub(super) fn native_env(wanted: &Wanted<'_>) -> Vec<Variable> {
    vec![
        fixed("PORT", wanted.port.to_string()),
        fixed("K_SERVICE", wanted.name),
        fixed("LAMBDA_TASK_ROOT", PACKAGE_DIR),
    ]
}

pub(super) fn check_variable(name: &str, value: &str, own: &[Variable]) -> Result<(), PlanError> {
    let bad = |why| Err(PlanError::BadVariable { name: name.to_owned(), why });
    let plain = name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
    if name.is_empty() || !plain || name.starts_with(|c: char| c.is_ascii_digit()) {
        return bad("has an impossible name: letters, digits and `_` only, not a digit first");
    }
    if value.contains('\0') {
        return bad("has a NUL byte in its value");
    }
    if own.iter().any(|variable| variable.reserved && variable.name == name) {
        return bad("is set by the platform and cannot be changed");
    }
    Ok(())
}
