//! What workers have at hand now, the servers that they ask, and the applications that they call.

use std::sync::Arc;
use std::time::Duration;

use super::resolver::Status;
use crate::stats::gauges::{AppState, State, WorkerGauges};
use crate::stats::labels::Names;

/// A server that workers ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// What it is called where it is counted.
    pub name: String,
    /// Whether it is asked: the worst that any worker says.
    pub state: State,
    /// How long it takes to answer, smoothed: the mean of the workers that know it.
    pub srtt: Option<Duration>,
    /// Queries that it has not answered yet.
    pub in_flight: u64,
}

/// An application that workers call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// What it is called.
    pub name: String,
    /// Whether it is called: the worst that any worker says.
    pub state: AppState,
    /// Bytes of the memory of all its instances.
    pub memory: u64,
    /// Queries that they hold.
    pub held: u64,
}

/// What all workers have at hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// How many workers there are.
    pub workers: usize,
    /// Queries that they have not answered yet.
    pub tasks: u64,
    /// Entries of their caches.
    pub cache_entries: u64,
    /// Bytes of their caches.
    pub cache_bytes: u64,
    /// The servers, in the order of their labels.
    pub servers: Vec<Server>,
    /// How the resolver is that this node runs, if it does.
    pub resolver: Option<Status>,
    /// The applications that are there, in the order of their labels.
    pub apps: Vec<App>,
}

impl Work {
    /// What `gauges` say now, of servers and applications with these names; nothing without workers and
    /// a resolver.
    pub(super) fn read(
        gauges: &[Arc<WorkerGauges>],
        names: &Names,
        resolver: Option<Status>,
    ) -> Option<Self> {
        let (servers, apps) = (names.servers.iter().enumerate(), names.apps.iter().enumerate());
        let sum = |of: fn(&WorkerGauges) -> u64| gauges.iter().map(|worker| of(worker)).sum();
        (!gauges.is_empty() || resolver.is_some()).then(|| Self {
            workers: gauges.len(),
            tasks: sum(WorkerGauges::tasks),
            cache_entries: sum(WorkerGauges::cache_entries),
            cache_bytes: sum(WorkerGauges::cache_bytes),
            servers: servers.map(|(label, name)| server(gauges, label, name)).collect(),
            resolver,
            apps: apps.filter_map(|(label, name)| app(gauges, label, name)).collect(),
        })
    }
}

fn server(gauges: &[Arc<WorkerGauges>], label: usize, name: &str) -> Server {
    let said = || gauges.iter().map(|worker| worker.servers.server(label));
    let times: Vec<Duration> = said().map(|server| server.srtt()).filter(|srtt| !srtt.is_zero()).collect();
    let known = u32::try_from(times.len()).unwrap_or(u32::MAX);
    Server {
        name: name.to_owned(),
        state: said().map(|server| server.state()).max().unwrap_or_default(),
        srtt: times.iter().sum::<Duration>().checked_div(known),
        in_flight: said().map(|server| u64::from(server.in_flight())).sum(),
    }
}

fn app(gauges: &[Arc<WorkerGauges>], label: usize, name: &str) -> Option<App> {
    let said = || gauges.iter().map(|worker| worker.apps.app(label));
    let state = said().map(|app| app.state()).max().filter(|state| *state != AppState::Gone)?;
    let memory = said().map(|app| app.memory()).sum();
    Some(App { name: name.to_owned(), state, memory, held: said().map(|app| u64::from(app.held())).sum() })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::board::resolver::Phase;
    use crate::board::tests::board;
    use crate::board::{Base, Block, Board, Named};
    use crate::stats::app_labels::{APP_NONE, APP_VERDICT_FAIL};
    use crate::stats::counters::{
        APP_METRICS, APP_VERDICTS, CACHE_LOOKS, COALESCED, Counters, GUEST_CPU, HANDED_OVER, PlatformPlace,
        QUERIES, RESPONSES, RULE_HITS, UPSTREAM_QUERIES, UPSTREAM_RTT, UPSTREAM_RTT_SUM, WORK_REFUSED,
        WORKER_JOBS,
    };
    use crate::stats::gauges::{AppGauges, Gauges};
    use crate::stats::labels::{RULE_NONE, rcode_value, rtt_bin};

    /// A board with rules, two upstream servers, two applications of which one went, and a worker that has
    /// asked them.
    pub(crate) fn board_with_workers() -> Board {
        let mut board = board();
        let mut named = Named::clone(&board.named.load());
        named.counted.rules = [RULE_NONE, "lan", "no-\"quotes\""].map(str::to_owned).to_vec();
        named.counted.servers = ["lan/192.0.2.53:53", "lan/[2001:db8::53]:53"].map(str::to_owned).to_vec();
        named.counted.apps = [APP_NONE, "filter", "went"].map(str::to_owned).to_vec();
        named.counted.place_metric("filter", "blocked_total");
        board.named.store(named.into());
        let count = |counts: &[(PlatformPlace, u32)], more: &[(usize, u32)]| {
            let counters = Arc::<Counters>::default();
            counts.iter().for_each(|&(place, count)| counters.add(place, count));
            more.iter().for_each(|&(place, count)| counters.add(place, count));
            counters
        };
        let of_shard = [(RULE_HITS.at([1]), 9), (HANDED_OVER.at([1]), 9), (WORK_REFUSED.at([1, 0]), 2)];
        board.shards[1].counters.push(count(&of_shard, &[]));
        let of_worker = [
            (UPSTREAM_QUERIES.at([0, 0]), 4),
            (UPSTREAM_QUERIES.at([1, 3]), 1),
            (UPSTREAM_RTT.at([0, rtt_bin(100)]), 3),
            (UPSTREAM_RTT.at([0, rtt_bin(5_000_000)]), 1),
            (UPSTREAM_RTT_SUM.at([0]), 5_000_300),
            (CACHE_LOOKS.at([0]), 6),
            (CACHE_LOOKS.at([5]), 3),
            (COALESCED.at([]), 1),
            (WORKER_JOBS.at([]), 9),
            (APP_VERDICTS.at([1, APP_VERDICT_FAIL]), 2),
            (APP_METRICS.at([0, 0]), 3),
            (GUEST_CPU.at([1]), 2_500_000),
        ];
        let replies = [(QUERIES.at([4, 0, 0]), 7), (RESPONSES.at([rcode_value(2)]), 7)];
        board.workers = Block::of_workers(vec![count(&of_worker, &replies)], Base::default());
        let servers = Arc::<Gauges>::default();
        servers.server(0).set(State::Closed, Duration::from_micros(1500), 3);
        servers.server(1).set(State::Open, Duration::ZERO, 0);
        let apps = Arc::<AppGauges>::default();
        apps.app(1).set(AppState::Off, 131_072, 4);
        let gauges = WorkerGauges::new(servers, apps);
        gauges.set(5, 7, 1000);
        board.gauges = vec![Arc::new(gauges)];
        let ended = Some("killed by signal 9".to_owned());
        board.resolver.note(|status| *status = Status { phase: Phase::Waiting, starts: 3, ended });
        board
    }

    #[test]
    fn workers_add_up_and_the_worst_state_counts() {
        let worker = |number: u64| {
            let servers = Arc::<Gauges>::default();
            let millis = Duration::from_millis;
            servers.server(0).set(State::Closed, millis(10 * number), 3);
            let (state, srtt) = if number == 2 { (State::Open, millis(40)) } else { Default::default() };
            servers.server(1).set(state, srtt, 0);
            let apps = Arc::<AppGauges>::default();
            apps.app(1).set(AppState::Running, 65_536 * number, 1);
            let state = if number == 2 { AppState::Starting } else { AppState::Gone };
            apps.app(2).set(state, 0, 0);
            let gauges = WorkerGauges::new(servers, apps);
            gauges.set(5, 7, 1000);
            Arc::new(gauges)
        };
        let names = Names {
            servers: ["a/192.0.2.1:53", "b/192.0.2.2:53", "b/192.0.2.3:53"].map(str::to_owned).to_vec(),
            apps: [APP_NONE, "a", "b", "c"].map(str::to_owned).to_vec(),
            ..Names::default()
        };
        let work = Work::read(&[worker(1), worker(2)], &names, None).unwrap();
        assert_eq!((work.workers, work.tasks, work.cache_entries, work.cache_bytes), (2, 10, 14, 2000));
        let server = |at: usize, state, srtt: Option<u64>, in_flight| Server {
            name: names.servers[at].clone(),
            state,
            srtt: srtt.map(Duration::from_millis),
            in_flight,
        };
        let expected = [
            server(0, State::Closed, Some(15), 6),
            server(1, State::Open, Some(40), 0),
            server(2, State::Closed, None, 0),
        ];
        assert_eq!(work.servers, expected);
        let app = |name: &str, state, memory, held| App { name: name.to_owned(), state, memory, held };
        let expected = [app("a", AppState::Running, 196_608, 2), app("b", AppState::Starting, 0, 0)];
        assert_eq!(work.apps, expected);
        assert_eq!(Work::read(&[], &names, None), None);
    }
}
