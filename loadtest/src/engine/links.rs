//! Connections of HTTP/2, and the right to use a stream of one.

use crate::failure::Failure;
use crate::http1::Answer;
use crate::http2::{Sender, connect};
use crate::socket::Source;
use crate::target::Address;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tokio::sync::OnceCell;

/// A connection; made when it is needed first.
pub(super) struct Link {
    sender: OnceCell<Result<Sender, Failure>>,
    source: Rc<RefCell<Source>>,
    dead: Cell<bool>,
}

impl Link {
    /// Something to send requests with.
    pub(super) async fn sender(&self, address: &Address) -> Result<Sender, Failure> {
        self.sender.get_or_init(|| connect(address, &self.source)).await.clone()
    }

    /// Whether it can be used after this answer.
    pub(super) fn judge(&self, answer: &Result<Answer, Failure>) {
        let closed = match self.sender.get() {
            Some(Ok(sender)) => sender.is_closed(),
            Some(Err(_)) => true,
            None => false,
        };
        let broken = matches!(answer, Err(Failure::Broken | Failure::Truncated | Failure::Protocol));
        self.dead.set(self.dead.get() || closed || broken);
    }
}

/// The streams that a thread may use, on as few connections as can be.
pub(super) struct Permits {
    /// Free streams of connections that there are.
    free: RefCell<Vec<Rc<Link>>>,
    streams: usize,
    /// Streams that belong to no connection yet.
    unused: Cell<usize>,
    source: Rc<RefCell<Source>>,
}

impl Permits {
    pub(super) fn new(all: usize, streams: usize) -> Permits {
        Permits {
            free: RefCell::default(),
            streams: streams.max(1),
            unused: Cell::new(all),
            source: Rc::default(),
        }
    }

    /// A stream, if one is free.
    pub(super) fn take(&self) -> Option<Rc<Link>> {
        let mut free = self.free.borrow_mut();
        loop {
            match free.pop() {
                Some(link) if link.dead.get() => self.unused.set(self.unused.get() + 1),
                Some(link) => return Some(link),
                None => break,
            }
        }
        let count = self.streams.min(self.unused.get());
        self.unused.set(self.unused.get() - count);
        let source = Rc::clone(&self.source);
        let link = Rc::new(Link { sender: OnceCell::new(), source, dead: Cell::new(false) });
        for _ in 1..count {
            free.push(Rc::clone(&link));
        }
        (count > 0).then_some(link)
    }

    /// Gives a stream back.
    pub(super) fn put(&self, link: Rc<Link>) {
        if link.dead.get() {
            self.unused.set(self.unused.get() + 1);
        } else {
            self.free.borrow_mut().push(link);
        }
    }

    /// The same stream, or one of another connection if this one ended.
    pub(super) fn renew(&self, link: Rc<Link>) -> Rc<Link> {
        if !link.dead.get() {
            return link;
        }
        self.put(Rc::clone(&link));
        self.take().unwrap_or(link)
    }
}
