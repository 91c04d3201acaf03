//! Why a query gets its answer: the answer itself, as the node gives it, the layers of the map that were
//! asked for it, and for whom it holds. Nothing is sent. The files that the map names are read again for it.

mod question;
mod shown;
mod text;
mod told;

use serde_json::Value;

use crate::board::pops::State;
use crate::dns::arrival::Arrival;
use crate::problem::Problem;
use crate::serve::snapshot::Snapshot;
use crate::tailor::Asking;

pub use question::Question;

use told::{Answer, Tailored, Told};

/// What a query is explained from.
#[derive(Clone, Copy, Debug)]
pub struct Explainer<'a> {
    /// What is served.
    pub snapshot: &'a Snapshot,
    /// Which PoPs are up, and why.
    pub pops: &'a [State],
}

/// The answer to a query, and why it is that.
#[derive(Clone, Debug)]
pub struct Explained {
    /// For people.
    pub text: String,
    /// For programs.
    pub json: Value,
}

impl Explainer<'_> {
    /// Explains the answer to a query that comes in so.
    ///
    /// # Errors
    /// If there is no answer that could be explained, and if a file cannot be read again.
    pub fn explain(&self, asked: &Question, arrival: &Arrival) -> Result<Explained, Vec<Problem>> {
        let answer = Answer::of(self.snapshot, asked, arrival).map_err(Problem::alone)?;
        let tailored = answer.pool.and_then(|pool| Some((pool, self.snapshot.tailor()?)));
        let tailored = tailored.map(|(pool, tailor)| {
            let peer = arrival.peer.ip();
            let asking = Asking { peer, id: Question::ID, subnet: asked.client_subnet() };
            let why = tailor.why(pool, &asking)?;
            Ok::<_, Vec<Problem>>(Tailored {
                why,
                spec: tailor.spec(),
                pool: usize::from(pool),
                peer,
                client: asked.subnet,
            })
        });
        let told = Told { asked, answer: &answer, tailored: tailored.transpose()?, pops: self.pops };
        Ok(Explained { text: text::text(&told), json: shown::json(&told) })
    }
}
