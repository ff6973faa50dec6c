//! Step 7: what dead attempts left behind comes back.

use crate::db::{Id, Reply, Write};
use crate::model::Protocol;
use crate::mutant::Mutant;
use crate::state::{State, Sweeper};
use crate::world::happened;

impl Protocol {
    /// Whether the entry's sweep time has come. It is later than deadline + RUN_WITHIN of every batch of every
    /// attempt so far, as deadlines are not later than leases: so none of them is pending.
    pub(crate) fn sweep_due(&self, state: &State) -> bool {
        let pending = state.calls.iter().zip(self.ids).any(|(call, id)| {
            let batch = &call.batch;
            let counts = match self.mutant {
                Mutant::SweepsTooEarly => false,
                Mutant::NoTimeLimit => !batch.over,
                Mutant::TakeOverWithoutLease | Mutant::DeadlineBeyondLease => !batch.outlives_sweep,
                _ => true,
            };
            id == Id::Shared && batch.pending != 0 && counts
        });
        state.db.entry.is_some_and(|entry| entry.sweep && (entry.granted || entry.lease_over)) && !pending
    }

    /// The sweeper's next write command.
    pub(crate) fn sweep_write(&self, state: &State) -> Option<Write> {
        Some(match state.sweeper {
            Sweeper::Idle => return None,
            Sweeper::TakingOver { from } => Write::TakeOver { from, token: state.tokens + 1, sweep: true },
            Sweeper::ReleasingAll { date, .. } | Sweeper::ReleasingSurplus { date } => {
                Write::ReleaseOthers { date }
            }
            Sweeper::Deleting { token } => Write::Delete { token },
            Sweeper::UnsettingSweep { date } => Write::UnsetSweep { date },
        })
    }

    /// The sweeper's next step.
    pub(crate) fn sweep(&self, state: &mut State) {
        let Some(write) = self.sweep_write(state) else {
            // Finds the entry.
            state.sweeper = match state.db.entry {
                Some(entry) if entry.granted => Sweeper::ReleasingSurplus { date: entry.reserved },
                Some(entry) => Sweeper::TakingOver { from: entry.owner },
                None => Sweeper::Idle,
            };
            return;
        };
        let held = state.db.codes_where(|code| code.held(Id::Shared));
        let reply = self.run(state, write, true);
        let swept = held != state.db.codes_where(|code| code.held(Id::Shared));
        state.sweeper = match (state.sweeper, reply) {
            (Sweeper::TakingOver { .. }, Reply::Entry(entry)) => {
                state.tokens = entry.owner;
                Sweeper::ReleasingAll { token: entry.owner, date: entry.reserved }
            }
            (Sweeper::ReleasingAll { token, .. }, _) => Sweeper::Deleting { token },
            (Sweeper::ReleasingSurplus { date }, _) => {
                self.note(state, if swept { happened::SURPLUS_SWEPT } else { 0 });
                Sweeper::UnsettingSweep { date }
            }
            (Sweeper::Deleting { .. }, _) => {
                self.note(state, happened::ENTRY_SWEPT);
                Sweeper::Idle
            }
            _ => Sweeper::Idle,
        };
    }

    /// The sweeper's command has no reply: it gives up for now.
    pub(crate) fn sweep_no_reply(&self, state: &mut State) {
        if let Some(write) = self.sweep_write(state) {
            if let Write::TakeOver { token, .. } = write {
                state.tokens = token;
            }
            state.late.push(write);
            state.late.sort_unstable();
        }
        state.sweeper = Sweeper::Idle;
    }
}
