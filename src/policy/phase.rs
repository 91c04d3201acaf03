//! The phases of a query's life: what is known in each, and what may be done.

/// A point in a query's life at which rules are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// On the shard, before anything else.
    Route,
    /// On a worker, before the cache is looked at.
    Request,
    /// The cache has nothing fresh.
    PostCache,
    /// A server has responded, or has not.
    Response,
    /// There is a reply, from wherever.
    Reply,
    /// It has been sent.
    Done,
}

impl Phase {
    /// All of them, in their order.
    pub const ALL: [Self; 6] =
        [Self::Route, Self::Request, Self::PostCache, Self::Response, Self::Reply, Self::Done];

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Request => "request",
            Self::PostCache => "post-cache",
            Self::Response => "response",
            Self::Reply => "reply",
            Self::Done => "done",
        }
    }

    /// When it is, in a few words.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Route => "a query has come; on the shard",
            Self::Request => "a worker has it, before the cache is looked at",
            Self::PostCache => "the cache has nothing fresh",
            Self::Response => "a server has responded, or has not in time",
            Self::Reply => "there is a reply, from wherever; what is done to it is not stored",
            Self::Done => "the reply has been sent",
        }
    }
}
