//! Tests of whole networks: simulated ones with faults, and real nodes.

mod client;
mod decoders;
mod equivocator;
mod full_disk;
mod handover;
mod light;
mod network;
mod nodes;
mod participation;
mod presence;
mod processes;
mod properties;
mod pruning;
mod seeds;
mod simulated;
mod simulation;
mod transfers;
