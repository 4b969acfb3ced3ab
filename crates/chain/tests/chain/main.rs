//! Tests of whole networks: simulated ones with faults, and real nodes.

mod client;
mod equivocator;
mod light;
mod nodes;
mod processes;
mod properties;
mod simulated;
mod simulation;
mod transfers;
