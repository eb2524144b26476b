//! The routing table: deployed functions by name, read without a lock on every request.
//!
//! ```text
//! Building --built--> Ready
//!     \------failed-> Failed
//! ```
//!
//! A deploy puts a new route in the place of the old one; requests that hold the old one finish with it.

use crate::backend::Prepared;
use crate::metrics::FunctionMetrics;
use crate::store::Record;
use crate::store::packages::Pinned;
use crate::upgrade::Count;
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// One deployed function.
pub(crate) struct Route {
    /// Name.
    pub name: String,
    /// What is stored about it, unless that is damaged.
    pub record: Option<Record>,
    /// Its metrics.
    pub metrics: FunctionMetrics,
    /// How many of its connections were upgraded, or may be; those of the routes it replaced included.
    pub upgrades: Arc<Count>,
    state: watch::Sender<RouteState>,
}

/// Whether a function can answer.
#[derive(Clone)]
pub(crate) enum RouteState {
    /// Its parent is being built.
    Building,
    /// It answers.
    Ready(Arc<Live>),
    /// Its parent could not be built, and why.
    Failed(String),
}

/// A function that answers.
pub(crate) struct Live {
    /// How to invoke it.
    pub function: Arc<dyn Prepared>,
    /// Its package stays on disk as long as this lives.
    pub _package: Pinned,
}

impl Route {
    pub(crate) fn new(
        name: String,
        record: Option<Record>,
        metrics: FunctionMetrics,
        state: RouteState,
    ) -> Self {
        Self { name, record, metrics, upgrades: Arc::default(), state: watch::Sender::new(state) }
    }

    /// The same, in the place of `old`.
    pub(crate) fn replacing(self, old: Option<&Self>) -> Self {
        let upgrades = old.map_or(self.upgrades, |old| Arc::clone(&old.upgrades));
        Self { upgrades, ..self }
    }

    pub(crate) fn state(&self) -> RouteState {
        self.state.borrow().clone()
    }

    /// The only change of a route's state: its build has ended.
    pub(crate) fn built(&self, outcome: Result<Live, String>) {
        self.state.send_replace(match outcome {
            Ok(live) => RouteState::Ready(Arc::new(live)),
            Err(reason) => RouteState::Failed(reason),
        });
    }

    /// Waits while the function is being built, at most `patience`. The error says why it cannot answer.
    pub(crate) async fn live(&self, patience: Duration) -> Result<Arc<Live>, String> {
        let mut state = self.state();
        if matches!(state, RouteState::Building) {
            let mut changes = self.state.subscribe();
            let built = changes.wait_for(|state| !matches!(state, RouteState::Building));
            if let Ok(Ok(new)) = tokio::time::timeout(patience, built).await {
                state = new.clone();
            }
        }
        match state {
            RouteState::Ready(live) => Ok(live),
            RouteState::Failed(reason) => Err(reason),
            RouteState::Building => Err("it is still being built".to_owned()),
        }
    }
}

/// All routes.
#[derive(Default)]
pub(crate) struct Routes {
    table: ArcSwap<HashMap<String, Arc<Route>>>,
    writing: Mutex<()>,
}

impl Routes {
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Route>> {
        self.table.load().get(name).cloned()
    }

    /// All routes, sorted by name.
    pub(crate) fn all(&self) -> Vec<Arc<Route>> {
        let mut routes: Vec<_> = self.table.load().values().cloned().collect();
        routes.sort_by(|one, other| one.name.cmp(&other.name));
        routes
    }

    /// Puts a route in place; returns the one it replaces.
    pub(crate) fn put(&self, route: Arc<Route>) -> Option<Arc<Route>> {
        self.change(|table| table.insert(route.name.clone(), route))
    }

    pub(crate) fn remove(&self, name: &str) -> Option<Arc<Route>> {
        self.change(|table| table.remove(name))
    }

    fn change<T>(&self, change: impl FnOnce(&mut HashMap<String, Arc<Route>>) -> T) -> T {
        let _writing = self.writing.lock().expect("no code panics while it changes the table");
        let mut table = HashMap::clone(&self.table.load());
        let result = change(&mut table);
        self.table.store(Arc::new(table));
        result
    }
}
