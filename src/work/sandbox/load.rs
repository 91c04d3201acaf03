//! From a file to an application: the module is checked, and tried, before anybody relies on it.

use std::sync::Arc;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};

use super::super::places::Places;
use super::app::{App, Engine, Hook, Registered};
use super::area::phase_number;
use super::host::{Host, Tools};
use super::instance::{Instance, Trap, linker};
use super::module;
use super::settings::Manifest;
use super::slot::Clock;
use crate::log::Log;
use crate::policy::phase::Phase;
use crate::problem::Problem;

/// Whether a condition of a phase is right, and if not where and why.
pub type Check<'a> = &'a mut dyn FnMut(Phase, &str) -> Result<(), (usize, String)>;

impl App {
    /// Checks the module and runs a trial start. `check` says whether a hook's condition is right, and if not
    /// the column and why.
    ///
    /// # Errors
    /// Everything that is wrong, with what to do.
    pub fn load(
        engine: &Engine,
        manifest: Manifest,
        bytes: &[u8],
        check: Check<'_>,
    ) -> Result<Self, Vec<Problem>> {
        let place = manifest.module.display().to_string();
        let problem = |message| Problem { place: place.clone(), message };
        let problems = |messages: Vec<String>| messages.into_iter().map(problem).collect::<Vec<_>>();
        let module = module::read(engine, bytes, manifest.limits.memory).map_err(problems)?;
        let app = Arc::new(Self {
            manifest,
            upstreams: Vec::new(),
            resolver: None,
            hash: module::sha256(bytes),
            hooks: Vec::new(),
            label: 0,
            metrics: Vec::new(),
            registered: Vec::new(),
            module,
            code_len: bytes.len() * CODE_TIMES,
        });
        let registered = try_start(&app, check).map_err(problems)?;
        // The trial's instance is gone, and with it all other handles.
        let mut app =
            Arc::try_unwrap(app).map_err(|_| problems(vec!["cannot be tried; please report this".into()]))?;
        app.hooks = hooks(&registered);
        app.registered = registered;
        Ok(app)
    }
}

/// Bytes of compiled code for each byte of a module, at most: instructions are words of memory.
const CODE_TIMES: usize = 16;

/// Starts an instance, and throws it away: what it registers.
fn try_start(app: &Arc<App>, check: Check<'_>) -> Result<Vec<Registered>, Vec<String>> {
    let tools = Tools { places: Places::default(), log: Log::silent() };
    let random = StdRng::try_from_rng(&mut SysRng).unwrap_or_else(|_| StdRng::seed_from_u64(0));
    let now = Instant::now();
    let mut host = Host::new(app, &tools, random, now);
    // As it will be: a guest cannot tell that this is a trial.
    host.doing.unix_ns = Clock::read(now).unix_ns(now);
    host.is_trial = true;
    host.logged = Some(Vec::new());
    let mut conditions = |registered: &mut Registered| {
        let phases =
            Phase::ALL.into_iter().filter(|phase| registered.phases & 1 << phase_number(*phase) != 0);
        let wrong = phases.map(|phase| check(phase, &registered.condition)).find(Result::is_err);
        registered.outcome = wrong.unwrap_or(Ok(()));
    };
    match Instance::start(&linker(app), host, &mut conditions) {
        Ok(mut instance) => Ok(std::mem::take(&mut instance.host_mut().registered)),
        Err((trap, host)) => Err(vec![cannot_start(trap, &host)]),
    }
}

/// Why a trial has failed, with what the guest has said.
fn cannot_start(trap: Trap, host: &Host) -> String {
    let mut message = format!("cannot be started: {trap}");
    if trap == Trap::Made && host.counts.memory_refused > 0 {
        message += "; it has larger tables than there may be";
    }
    for registered in &host.registered {
        if let Err((column, wrong)) = &registered.outcome {
            message += &format!("; the condition `{}`, column {column}: {wrong}", registered.condition);
        }
    }
    for line in host.logged.iter().flatten() {
        message += &format!("; it says: {line}");
    }
    message
}

fn hooks(registered: &[Registered]) -> Vec<Hook> {
    let right = registered.iter().filter(|registered| registered.outcome.is_ok());
    let each = |registered: &Registered| {
        let is_named = |phase: &Phase| registered.phases & 1 << phase_number(*phase) != 0;
        let condition = registered.condition.clone();
        let phases: Vec<Phase> = Phase::ALL.into_iter().filter(is_named).collect();
        phases.into_iter().map(move |phase| Hook { phase, condition: condition.clone() })
    };
    right.flat_map(each).collect()
}
