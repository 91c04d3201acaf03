//! `as112d-fleet promote`: a release goes to the next nodes, once those that have it are healthy.

use as112d::commands::Failure;
use serde_json::{Value, json};

use super::shared::{nodes, put, signers, stage_pointers, waits};
use super::{Told, wait};
use crate::cli::PromoteOptions;
use crate::desk::{AllPointers, Desk, Held, usage};
use crate::limits::WATCH_EVERY;
use crate::roll::{Reached, Roll, Step, Tally, To};
use crate::sign::Signers;
use crate::view;

/// Promotes; what it prints.
///
/// # Errors
/// Why it cannot.
pub fn promote(options: &PromoteOptions) -> Result<Told, Failure> {
    wait(async {
        let desk = Desk::open(&options.publisher, None).await?;
        let driver = Driver { signers: signers(&desk, &options.sign)?, desk, options };
        if options.auto { driver.auto().await } else { driver.once().await }
    })
}

struct Driver<'a> {
    desk: Desk,
    signers: Signers,
    options: &'a PromoteOptions,
}

/// How things are.
struct Now {
    roll: Roll,
    pointers: AllPointers,
    reached: Reached,
    /// What is next, and how the nodes are, if the roll has reached a stage.
    step: Option<(Step, Tally)>,
}

impl Driver<'_> {
    async fn look(&self) -> Result<Now, Failure> {
        let held = self.desk.roll().await?;
        let held = held.ok_or_else(|| usage("there is no roll; begin one with `publish`"))?;
        let signed = held.read.map_err(|refused| usage(format!("the roll: {refused}; publish again")))?;
        let mut roll = signed.content;
        roll.quorum = self.options.quorum.unwrap_or(roll.quorum);
        let pointers = self.desk.pointers().await?;
        let reached = roll.reached(|scope| pointers.get(scope).and_then(Held::content));
        let step = match reached {
            Reached::Stage(stage) => {
                let nodes = nodes(&self.desk, &pointers).await?;
                let seen = view::seen(&nodes, &self.desk.fleet, &roll.release);
                Some((roll.step(stage, &seen), roll.tally(stage, &seen)))
            }
            Reached::Nothing | Reached::Elsewhere(_) => None,
        };
        Ok(Now { roll, pointers, reached, step })
    }

    async fn once(&self) -> Result<Told, Failure> {
        let now = self.look().await?;
        let roll = &now.roll;
        if self.options.all_at_once {
            return self.go(&now, roll.stages.len() - 1).await.map(|went| self.told(&now, went));
        }
        let meant = self.options.stage.as_ref().map(|to| stage(roll, to)).transpose()?;
        let at = match &now.reached {
            Reached::Elsewhere(why) => {
                let words = "publish again, or give it to all with --all-at-once --reason TEXT";
                return Err(usage(format!("{}: {why}; {words}", roll.release)));
            }
            // Nobody has it: whoever says with which stage it begins has seen that.
            Reached::Nothing if meant == Some(0) => {
                return self.go(&now, 0).await.map(|went| self.told(&now, went));
            }
            Reached::Nothing => {
                let first = &roll.stages[0].to;
                return Err(usage(format!(
                    "no pointer names {}: begin with `promote {first}`",
                    roll.release
                )));
            }
            Reached::Stage(at) => *at,
        };
        let to = &roll.stages[at].to;
        if meant.is_some_and(|meant| meant <= at) {
            let text = format!("{} has reached {to} already\n", roll.release);
            return Ok(Told::either(self.options.publisher.json, text, &self.value(&now, "reached")));
        }
        if let Some(meant) = meant.filter(|meant| *meant > at + 1) {
            let (next, meant) = (&roll.stages[at + 1].to, &roll.stages[meant].to);
            let words = "or give it to all with --all-at-once --reason TEXT";
            return Err(usage(format!("{next} comes before {meant}: promote that first, {words}")));
        }
        match &now.step {
            Some((Step::Next(next), _)) => self.go(&now, *next).await.map(|went| self.told(&now, went)),
            Some((Step::Done, tally)) => {
                let text = format!("all have {}: {tally}\n", roll.release);
                Ok(Told::either(self.options.publisher.json, text, &self.value(&now, "done")))
            }
            Some((Step::Wait(why), _)) => {
                let text = format!("not yet: {why}\n");
                Ok(Told::either(self.options.publisher.json, text, &self.value(&now, "wait")).off(true))
            }
            Some((Step::Stop(why), _)) => Ok(self.stopped(&now, why)),
            None => Err(usage("the roll has reached no stage")),
        }
    }

    /// Goes on until all have it. If this ends, the roll is where its pointers say.
    async fn auto(&self) -> Result<Told, Failure> {
        let mut said = String::new();
        loop {
            let now = self.look().await?;
            let (step, tally) = match (&now.reached, &now.step) {
                (Reached::Stage(_), Some(step)) => step,
                (Reached::Elsewhere(why), _) => {
                    let text = format!("{} goes no further: {why}\n", now.roll.release);
                    return Ok(self.either(text, &self.value(&now, "elsewhere")).off(true));
                }
                _ => {
                    let first = &now.roll.stages[0].to;
                    return Err(usage(format!(
                        "no pointer names {}: begin with `promote {first}`",
                        now.roll.release
                    )));
                }
            };
            match step {
                Step::Next(next) => {
                    let went = self.go(&now, *next).await?;
                    if went.waits > 0 {
                        return Ok(self.told(&now, went).off(true));
                    }
                    self.progress(&mut said, &format!("{} goes to {}", now.roll.release, went.to));
                }
                Step::Wait(why) => self.progress(&mut said, why),
                Step::Done => {
                    let text = format!("all have {}: {tally}\n", now.roll.release);
                    self.desk
                        .say("done", json!({ "release": now.roll.release.to_string() }), &self.options.sign)
                        .await;
                    return Ok(self.either(text, &self.value(&now, "done")));
                }
                Step::Stop(why) => {
                    let more = json!({ "release": now.roll.release.to_string(), "why": why });
                    self.desk.say("stopped", more, &self.options.sign).await;
                    return Ok(self.stopped(&now, why));
                }
            }
            tokio::time::sleep(WATCH_EVERY).await;
        }
    }

    /// Says how far it is, where that changed. It is not what the command prints.
    fn progress(&self, said: &mut String, words: &str) {
        if said != words && !self.options.publisher.json {
            eprintln!("{words}");
        }
        words.clone_into(said);
    }

    async fn go(&self, now: &Now, stage: usize) -> Result<Went, Failure> {
        let made = stage_pointers(&self.desk, &now.roll, stage, &now.pointers, &self.options.sign)?;
        let waits = put(&self.desk, &self.signers, made).await?;
        let to = now.roll.stages[stage].to.clone();
        let more = json!({
            "release": now.roll.release.to_string(),
            "stage": to.to_string(),
            "all_at_once": self.options.all_at_once.then_some(true),
            "waits": (waits > 0).then_some(waits),
        });
        let unsaid = self.desk.say("promoted", more, &self.options.sign).await;
        Ok(Went { to, waits, unsaid })
    }

    fn told(&self, now: &Now, went: Went) -> Told {
        let mut text = match went.waits {
            0 => format!("{} goes to {}\n", now.roll.release, went.to),
            count => waits(count),
        };
        text.extend(went.unsaid.map(|unsaid| unsaid + "\n"));
        let mut value = self.value(now, "promoted");
        (value["stage"], value["waits_for_signatures"]) = (json!(went.to), json!(went.waits));
        self.either(text, &value)
    }

    fn stopped(&self, now: &Now, why: &str) -> Told {
        let text = format!(
            "{} goes no further: {why}\nLook at `status`; `rollback` takes it from those that have it.\n",
            now.roll.release
        );
        self.either(text, &self.value(now, "stopped")).off(true)
    }

    fn either(&self, text: String, value: &Value) -> Told {
        Told::either(self.options.publisher.json, text, value)
    }

    fn value(&self, now: &Now, state: &str) -> Value {
        let words = match &now.step {
            Some((Step::Wait(why) | Step::Stop(why), _)) => Some(why),
            _ => None,
        };
        json!({
            "release": now.roll.release.to_string(),
            "state": state,
            "stage": match now.reached {
                Reached::Stage(stage) => Some(&now.roll.stages[stage].to),
                _ => None,
            },
            "nodes": now.step.as_ref().map(|(_, tally)| tally),
            "why": words,
        })
    }
}

/// What was put into the tree.
struct Went {
    to: To,
    waits: usize,
    unsaid: Option<String>,
}

fn stage(roll: &Roll, to: &To) -> Result<usize, Failure> {
    roll.stage(to).ok_or_else(|| {
        let stages: Vec<String> = roll.stages.iter().map(|stage| stage.to.to_string()).collect();
        usage(format!("{to} is not a stage of this roll, which has {}", stages.join(", ")))
    })
}
