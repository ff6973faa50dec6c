//! What is deployed: the chart as real Helm renders it, images, the sidecar, infrastructure, features, and an upgrade
//! under load.

mod chart;
mod features;
mod fluentd;
mod image;
mod rollout;
mod runbook;
mod terraform;
