//! The real binary, as users run it: one process each for the node, the operator and the user's commands, over a tiny network that the
//! demo makes from a few short texts. No network outside the machine, no clock in an assertion.

mod adapter;
mod corpus;
mod harness;
mod hour;
mod tour;
