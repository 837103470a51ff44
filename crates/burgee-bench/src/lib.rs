//! What is measured. The engine's measurements are in `benches/engine.rs`.

pub mod profile;
