//! Tests of whole networks: simulated ones with faults, and real nodes.

mod client;
mod decoders;
mod equivocator;
mod handover;
mod light;
mod nodes;
mod processes;
mod properties;
mod simulated;
mod simulation;
mod transfers;
