//! Tasks: futures that are polled when what they wait for has come.
//!
//! The host never waits for a guest, nor a guest for the host. A hostcall that takes time returns a number,
//! and an event tells later what came of it; here each is a future. One instance holds thousands.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use crate::host::Refused;
use crate::sys;

type Work = Pin<Box<dyn Future<Output = ()>>>;

/// The tasks of an instance, and what they wait for.
pub(crate) struct Tasks {
    /// Each at its place; none where it is being polled, or has ended.
    all: RefCell<Vec<Option<Work>>>,
    free: RefCell<Vec<usize>>,
    /// Those that are to be polled.
    woken: RefCell<Vec<usize>>,
    /// Orders that have not ended, or whose end nobody has taken, by their tokens in ascending order.
    orders: RefCell<Vec<(i32, State)>>,
    /// The query that is being handed over, which cannot be finished yet.
    pub(crate) current: Cell<Option<u32>>,
    /// What is said of it.
    pub(crate) said: Cell<Option<i64>>,
}

enum State {
    Waiting(Brings, Option<Waker>),
    Ended(Result<Vec<u8>, Refused>),
}

/// Where what an order brings stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Brings {
    /// In the reply area.
    Answer,
    /// In scratch.
    Bytes,
}

impl Tasks {
    pub(crate) const fn new() -> Self {
        Self {
            all: RefCell::new(Vec::new()),
            free: RefCell::new(Vec::new()),
            woken: RefCell::new(Vec::new()),
            orders: RefCell::new(Vec::new()),
            current: Cell::new(None),
            said: Cell::new(None),
        }
    }

    /// Notes how an order ended, and wakes who waits for it.
    pub(crate) fn ended(&self, token: i32, outcome: impl FnOnce(Brings) -> Result<Vec<u8>, Refused>) {
        let mut orders = self.orders.borrow_mut();
        let at = match orders.binary_search_by_key(&token, |(token, _)| *token) {
            Ok(at) => at,
            // Nobody waits any more.
            Err(_) => return,
        };
        if let State::Waiting(brings, ref mut waker) = orders[at].1 {
            let waker = waker.take();
            orders[at].1 = State::Ended(outcome(brings));
            drop(orders);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Drops all tasks: their application is no more.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn clear(&self) {
        // What is dropped may cancel orders, so nothing is borrowed meanwhile.
        let all = core::mem::take(&mut *self.all.borrow_mut());
        drop(all);
        self.free.borrow_mut().clear();
        self.woken.borrow_mut().clear();
        let orders = core::mem::take(&mut *self.orders.borrow_mut());
        drop(orders);
    }

    /// Polls what was woken, until nothing is.
    pub(crate) fn run(&self) {
        loop {
            let task = match self.woken.borrow_mut().pop() {
                Some(task) => task,
                None => return,
            };
            let work = self.all.borrow_mut().get_mut(task).and_then(Option::take);
            let mut work = match work {
                Some(work) => work,
                // It was woken twice.
                None => continue,
            };
            let waker = Waker::from(Arc::new(Wakes(task)));
            if work.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                self.all.borrow_mut()[task] = Some(work);
            } else {
                self.free.borrow_mut().push(task);
            }
        }
    }
}

/// A task's waker: its place.
struct Wakes(usize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        sys::with(|globals| globals.tasks.woken.borrow_mut().push(self.0));
    }
}

/// Starts a task. It runs when the handler of the event has returned, and whenever what it waits for has
/// come.
///
/// ```
/// # use as112_guest::{log, sleep, spawn, Level};
/// # as112_guest::mock::alone(|| {
/// spawn(async {
///     loop {
///         let _ = sleep(60_000).await;
///         log!(Level::Info, "a minute has passed");
///     }
/// });
/// # });
/// ```
pub fn spawn(work: impl Future<Output = ()> + 'static) {
    let work: Work = Box::pin(work);
    sys::with(|globals| {
        let tasks = &globals.tasks;
        let free = tasks.free.borrow_mut().pop();
        let mut all = tasks.all.borrow_mut();
        let task = match free {
            Some(free) => free,
            None => {
                all.push(None);
                all.len() - 1
            }
        };
        all[task] = Some(work);
        tasks.woken.borrow_mut().push(task);
    });
}

/// An order that has not ended.
#[derive(Debug)]
pub(crate) struct Pending {
    token: Result<i32, Refused>,
    is_over: bool,
}

impl Pending {
    /// What a hostcall returned: a token, or a refusal.
    pub(crate) fn new(returned: i32, brings: Brings) -> Self {
        let token = Refused::of(returned);
        if let Ok(token) = token {
            sys::with(|globals| {
                let mut orders = globals.tasks.orders.borrow_mut();
                let at = orders.binary_search_by_key(&token, |(token, _)| *token).unwrap_or_else(|at| at);
                orders.insert(at, (token, State::Waiting(brings, None)));
            });
        }
        Self { token, is_over: false }
    }

    pub(crate) fn token(&self) -> Result<i32, Refused> {
        self.token
    }
}

impl Future for Pending {
    type Output = Result<Vec<u8>, Refused>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let token = match self.token {
            Ok(token) => token,
            Err(refused) => return Poll::Ready(Err(refused)),
        };
        let ended = sys::with(|globals| {
            let mut orders = globals.tasks.orders.borrow_mut();
            let at = orders.binary_search_by_key(&token, |(token, _)| *token).ok()?;
            if let State::Waiting(_, waker) = &mut orders[at].1 {
                *waker = Some(context.waker().clone());
                return None;
            }
            match orders.remove(at).1 {
                State::Ended(outcome) => Some(outcome),
                State::Waiting(..) => None,
            }
        });
        match ended {
            Some(outcome) => {
                self.is_over = true;
                Poll::Ready(outcome)
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let token = match self.token {
            Ok(token) if !self.is_over => token,
            _ => return,
        };
        let was_waiting = sys::with(|globals| {
            let mut orders = globals.tasks.orders.borrow_mut();
            let at = orders.binary_search_by_key(&token, |(token, _)| *token).ok()?;
            Some(matches!(orders.remove(at).1, State::Waiting(..)))
        });
        if was_waiting == Some(true) {
            // It may be one that cannot be cancelled; then what it brings is not looked at.
            sys::cancel(token);
        }
    }
}

/// What one task waits for and others set: that there is something to do.
///
/// ```
/// # use as112_guest::{spawn, Signal};
/// # as112_guest::mock::alone(|| {
/// let signal = Signal::new();
/// let waiting = signal.clone();
/// spawn(async move {
///     loop {
///         waiting.wait().await;
///         // There is something to do.
///     }
/// });
/// signal.set();
/// # });
/// ```
#[derive(Clone, Debug, Default)]
pub struct Signal(Rc<(Cell<bool>, RefCell<Option<Waker>>)>);

impl Signal {
    /// One that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets it, and wakes who waits.
    pub fn set(&self) {
        self.0 .0.set(true);
        if let Some(waker) = self.0 .1.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Waits until it is set, and unsets it. One task can wait at a time.
    pub async fn wait(&self) {
        Waiting(self).await;
    }
}

struct Waiting<'s>(&'s Signal);

impl Future for Waiting<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (is_set, waker) = &*self.0 .0;
        if is_set.take() {
            return Poll::Ready(());
        }
        *waker.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }
}

/// What came first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum First<A, B> {
    /// The one.
    One(A),
    /// The other.
    Other(B),
}

/// Waits for the first of two; what the other one waits for is cancelled.
///
/// ```
/// # use as112_guest::{forward, race, sleep, First};
/// # async fn example(query: &[u8]) {
/// match race(forward("near", query), sleep(50)).await {
///     First::One(answer) => { /* in time, or refused */ }
///     First::Other(_) => { /* 50 ms have passed */ }
/// }
/// # }
/// ```
pub async fn race<A: Future, B: Future>(one: A, other: B) -> First<A::Output, B::Output> {
    Race(Box::pin(one), Box::pin(other)).await
}

struct Race<A, B>(Pin<Box<A>>, Pin<Box<B>>);

impl<A: Future, B: Future> Future for Race<A, B> {
    type Output = First<A::Output, B::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(value) = self.0.as_mut().poll(context) {
            return Poll::Ready(First::One(value));
        }
        self.1.as_mut().poll(context).map(First::Other)
    }
}

#[cfg(test)]
mod tests {
    use crate::mock::{Host, Outcome, Setup};
    use crate::{
        forward, forward_within, name, query_for, race, rcode, resolve, rtype, sleep, App, First, Query,
        Refused, Reply, Start, StartError, Verdict,
    };

    /// Does what the first label of the name says.
    struct Doer;

    impl App for Doer {
        fn start(_: &mut Start<'_>) -> Result<Self, StartError> {
            Ok(Self)
        }

        fn query(&mut self, query: Query<'_>, _: Reply<'_>) -> Verdict {
            query.later(|held| async move {
                let what = held.query().qname().first().unwrap_or_default().to_vec();
                let packet = held.query().packet().to_vec();
                let outcome = match &what[..] {
                    b"forget" => return,
                    b"now" => Ok(()),
                    b"sleep" => sleep(10).await,
                    b"long" => sleep(u32::MAX).await,
                    b"resolve" => resolve(&packet).await.map(drop),
                    b"race" => match race(forward("slow", &packet), sleep(10)).await {
                        First::One(_) => Err(Refused::State),
                        First::Other(slept) => slept,
                    },
                    _ => forward_within("slow", &packet, 20).await.map(drop),
                };
                held.end(|_, _| match outcome {
                    Ok(()) => Verdict::drop(),
                    Err(Refused::Timeout) => Verdict::rcode(rcode::SERVFAIL),
                    Err(Refused::Denied) => Verdict::rcode(rcode::REFUSED),
                    Err(_) => Verdict::rcode(rcode::NOTIMP),
                });
            })
        }
    }

    fn host() -> Host<Doer> {
        Setup::new("{}").upstream("slow", |_| None).start().unwrap()
    }

    fn code(rcode: u8) -> Outcome {
        Outcome::Rcode(rcode, None)
    }

    #[test]
    fn tasks_end_queries_at_once_or_later() {
        let mut host = host();
        let ask = |host: &mut Host<Doer>, name| host.query(&query_for(name, rtype::A));
        assert_eq!(ask(&mut host, name!("now.x")), Outcome::Drop);
        assert_eq!(ask(&mut host, name!("forget.x")), Outcome::Fail, "nobody has ended it");
        assert_eq!(ask(&mut host, name!("resolve.x")), code(rcode::REFUSED), "there is no resolver");
        assert_eq!(ask(&mut host, name!("long.x")), code(rcode::NOTIMP), "over an hour");
        for (name, ms, outcome) in [
            (name!("sleep.x"), 10, Outcome::Drop),
            (name!("race.x"), 10, Outcome::Drop),
            (name!("forward.x"), 20, code(rcode::SERVFAIL)),
        ] {
            let number = match ask(&mut host, name) {
                Outcome::Held(number) => number,
                other => panic!("{name}: {other:?}"),
            };
            host.advance(ms - 1);
            assert_eq!(host.outcome(number), Outcome::Held(number), "{name}");
            host.advance(1);
            assert_eq!(host.outcome(number), outcome, "{name}");
        }
    }

    #[test]
    fn thousands_wait_at_the_same_time_and_leave_nothing() {
        let mut host = host();
        let query = query_for(name!("sleep.x"), rtype::A);
        for _ in 0..3 {
            let numbers: Vec<u32> = (0..2000)
                .map(|_| match host.query(&query) {
                    Outcome::Held(number) => number,
                    other => panic!("{other:?}"),
                })
                .collect();
            host.advance(10);
            assert!(numbers.iter().all(|number| host.outcome(*number) == Outcome::Drop));
        }
        crate::sys::with(|globals| {
            assert_eq!(globals.tasks.all.borrow().len(), 2000, "places are used again");
            assert!(globals.tasks.orders.borrow().is_empty());
        });
    }
}
