//! Events become calls of the application and its tasks.

use alloc::string::String;
use alloc::vec::Vec;

use crate::abi::{kind, word, QUERY_AT, REPLY_AT, REQUEST_LEN, SCRATCH_AT};
use crate::app::{App, Start, StartError};
use crate::host::{self, Level, Refused};
use crate::json::Value;
use crate::query::Query;
use crate::reply::Reply;
use crate::sys::{self, Area};
use crate::tasks::Brings;
use crate::verdict::Verdict;

/// An application that has started.
#[derive(Debug)]
pub(crate) struct Runtime<A>(A);

impl<A: App> Runtime<A> {
    /// Starts the application; what it says if it cannot is logged.
    pub(crate) fn start() -> Result<Self, StartError> {
        let started = config().and_then(|config| A::start(&mut Start::new(&config)));
        if let Err(error) = &started {
            let _ = host::log(Level::Error, error.message());
        }
        sys::with(|globals| globals.tasks.run());
        started.map(Self)
    }

    /// What an event makes the application do; for queries the number that is its verdict.
    pub(crate) fn event(&mut self, event: i32, token: i32, len: i32) -> i64 {
        match event {
            kind::QUERY => return self.query(),
            kind::DONE => done(token, len),
            kind::TIMER => sys::with(|globals| globals.tasks.ended(token, |_| Ok(Vec::new()))),
            kind::TICK => self.0.tick(),
            kind::STOP => self.0.stop(),
            _ => {}
        }
        sys::with(|globals| globals.tasks.run());
        word::PASS
    }

    fn query(&mut self) -> i64 {
        sys::with(|globals| {
            let tasks = &globals.tasks;
            let mut area = globals.area.borrow_mut();
            let (verdict, number) = {
                let (request, packet, reply) = area.parts();
                let query = Query::new(request, packet);
                let reply = Reply::new(reply, query.reply_len(), query.packet(), query.question_end());
                (self.0.query(query, reply), query.token())
            };
            let is_later = verdict.is_later();
            let said = verdict.write(&mut area.0);
            drop(area);
            if !is_later {
                // A task that it has started all the same runs now too.
                tasks.run();
                return said;
            }
            // Its task may end it before the host knows that it is held.
            tasks.current.set(Some(number));
            tasks.said.set(None);
            tasks.run();
            tasks.current.set(None);
            tasks.said.take().unwrap_or(said)
        })
    }

    #[cfg(target_arch = "wasm32")]
    pub(crate) fn stop(&mut self) {
        self.0.stop();
    }
}

/// The configuration, which may be longer than anything else that is handed over.
fn config() -> Result<Value, StartError> {
    let mut bytes = Vec::new();
    loop {
        let from = bytes.len();
        bytes.resize(from + 4096, 0);
        let read = sys::config(from as i32, &mut bytes[from..]);
        let read = Refused::of(read).map_or(0, |read| read as usize);
        bytes.truncate(from + read);
        if read == 0 {
            break;
        }
    }
    let text = String::from_utf8(bytes).map_err(|_| "the configuration is not UTF-8")?;
    if text.is_empty() {
        return Ok(Value::Table(Vec::new()));
    }
    Ok(Value::parse(&text)?)
}

/// An order has ended: what it brought is in the area.
fn done(token: i32, len: i32) {
    sys::with(|globals| {
        let area = globals.area.borrow();
        globals.tasks.ended(token, |brings| {
            let len = Refused::of(len)? as usize;
            let at = if brings == Brings::Answer { REPLY_AT } else { SCRATCH_AT };
            Ok(area.0.get(at..at + len).unwrap_or_default().to_vec())
        });
    });
}

/// Ends a query that is held.
pub(crate) fn end(query: Query<'_>, make: impl FnOnce(Query<'_>, Reply<'_>) -> Verdict) {
    sys::with(|globals| {
        let said = match globals.area.try_borrow_mut() {
            Ok(mut area) => {
                let reply = &mut area.0[REPLY_AT..SCRATCH_AT];
                let reply = Reply::new(reply, 0, query.packet(), query.question_end());
                make(query, reply).write(&mut area.0)
            }
            Err(_) => {
                let _ = host::log(Level::Error, "a query was ended while it was handed over");
                word::FAIL
            }
        };
        let number = query.token();
        if globals.tasks.current.get() == Some(number) {
            globals.tasks.said.set(Some(said));
        } else {
            // If the query's time is up, nobody waits for this.
            sys::finish(number as i32, said);
        }
    });
}

impl Area {
    /// The request, the query, and room for the reply.
    fn parts(&mut self) -> (&[u8], &[u8], &mut [u8]) {
        let (request, rest) = self.0.split_at_mut(QUERY_AT);
        let (query, rest) = rest.split_at_mut(REPLY_AT - QUERY_AT);
        (&request[..REQUEST_LEN], query, &mut rest[..SCRATCH_AT - REPLY_AT])
    }
}
