//! An application, as it was loaded: what its workers make instances of.

use std::sync::Arc;

use wasmi::{CompilationMode, Config, Module};

use super::abi::AREA_LEN;
use super::settings::Manifest;
use crate::limits::{
    GUEST_CALLS_DEEP_MAX, GUEST_HOOKS_MAX, GUEST_STACK_LEN, GUEST_TABLE_LEN_MAX, GUEST_TABLES_MAX,
    WORKERS_MAX,
};
use crate::policy::phase::Phase;
use crate::policy::upstream::UpstreamId;

/// The engine that runs guests. Each application has one of its own, with which its code goes.
#[derive(Clone, Debug)]
pub struct Engine(pub(super) Config);

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

impl Engine {
    /// It has what compilers make without being asked: the features of `wasm32-unknown-unknown`.
    #[must_use]
    pub fn new() -> Self {
        let mut config = Config::default();
        config
            .consume_fuel(true)
            // What is compiled when it is first called would be on a query's account.
            .compilation_mode(CompilationMode::Eager)
            .allow_start_fn(false)
            .ignore_custom_sections(true)
            .wasm_multi_memory(false)
            .wasm_tail_call(false)
            .wasm_extended_const(false)
            .wasm_custom_page_sizes(false)
            .wasm_wide_arithmetic(false)
            .set_max_recursion_depth(GUEST_CALLS_DEEP_MAX)
            .set_min_stack_height(4096)
            .set_max_stack_height(GUEST_STACK_LEN)
            .set_max_cached_stacks(WORKERS_MAX);
        Self(config)
    }
}

/// A condition on which an application is called in a phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The phase.
    pub phase: Phase,
    /// In the language of rules.
    pub condition: String,
}

/// What came of a call of `hook` when the application was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Registered {
    pub phases: u32,
    pub condition: String,
    /// The column, and what is wrong there.
    pub outcome: Result<(), (usize, String)>,
}

/// An application.
#[derive(Debug)]
pub struct App {
    /// What it is allowed, and what it is given.
    pub manifest: Manifest,
    /// The upstreams of the manifest's `[allow] forward`, in their order: who makes the policy says which.
    pub upstreams: Vec<UpstreamId>,
    /// The resolver, if there is one.
    pub resolver: Option<UpstreamId>,
    /// SHA-256 of the module.
    pub hash: [u8; 32],
    /// What it registered when it was loaded.
    pub hooks: Vec<Hook>,
    /// How it is counted: a value of [`APP`](crate::stats::app_labels::APP).
    pub label: usize,
    /// How its own counters are counted, in the order of `[allow] metrics`: values of
    /// [`METRIC`](crate::stats::app_labels::METRIC).
    pub metrics: Vec<usize>,
    pub(super) registered: Vec<Registered>,
    pub(super) module: Module,
    /// Bytes of its compiled code, about.
    pub(super) code_len: usize,
}

impl App {
    /// Bytes of one instance, at most, with what the host keeps for it.
    #[must_use]
    pub fn memory_len(&self) -> usize {
        let tables = GUEST_TABLES_MAX * GUEST_TABLE_LEN_MAX * size_of::<u64>();
        self.manifest.limits.memory + tables + GUEST_STACK_LEN + self.held_len()
    }

    /// Bytes of its code and its configuration, which all instances share.
    #[must_use]
    pub fn code_len(&self) -> usize {
        self.code_len + self.manifest.config.len()
    }

    /// Bytes of the queries that an instance holds, at most, if they are of a usual length.
    fn held_len(&self) -> usize {
        self.manifest.limits.in_flight * HELD_LEN
    }

    /// The upstream at a place of `[allow] forward`.
    pub(super) fn upstream(&self, place: usize) -> Option<UpstreamId> {
        self.upstreams.get(place).copied()
    }

    /// Its place, if it is one of them.
    pub(super) fn upstream_place(&self, upstream: UpstreamId) -> Option<u16> {
        let place = self.upstreams.iter().position(|known| *known == upstream)?;
        u16::try_from(place).ok()
    }

    /// Whether an instance of this one serves as one of `other`.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.hash == other.hash && self.manifest == other.manifest && self.registered == other.registered
    }
}

/// Bytes of a query that is held, with its request.
const HELD_LEN: usize = 1024;
const _: () = assert!(AREA_LEN < 96 << 10 && GUEST_HOOKS_MAX <= 1024);

/// The applications of a snapshot, by their numbers.
#[derive(Debug, Default)]
pub struct Apps {
    /// In the order of (`order`, name).
    pub apps: Vec<Arc<App>>,
}
